# 20 classes of CIFAR-100: the paper's curriculum, ResNet-8 from three experts.
_base_ = [
    '../_base_/datasets/cifar100_20classes.py',
    '../_base_/models/resnet8_small.py',
    '../_base_/experiments/edu_kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.experts)
