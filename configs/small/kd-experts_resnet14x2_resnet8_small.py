# 20 classes of CIFAR-100: ResNet-8 from the experts of edu-kd-experts, without a curriculum.
_base_ = [
    '../_base_/datasets/cifar100_20classes.py',
    '../_base_/models/resnet8_small.py',
    '../_base_/experiments/kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=[dict(t, classes=share) for t, share in zip(_base_.experts, _base_.shares)])
