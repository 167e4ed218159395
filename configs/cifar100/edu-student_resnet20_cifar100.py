# CIFAR-100: ResNet-20 alone in three grades, without distillation.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/recipes/edu-student_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
