# CIFAR-100: ResNet-20 from ResNet-110, with DKD in three grades.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/recipes/edu-dkd_resnet110_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
