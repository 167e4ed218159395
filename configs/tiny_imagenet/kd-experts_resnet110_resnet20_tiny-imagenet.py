# Tiny-ImageNet: ResNet-20 from the experts of edu-kd-experts, without a curriculum.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/models/resnet20.py',
    '../_base_/models/resnet110_experts.py',
    '../_base_/experiments/kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=[dict(t, classes=share) for t, share in zip(_base_.teachers, _base_.shares)])
