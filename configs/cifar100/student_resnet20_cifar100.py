# CIFAR-100: ResNet-20 alone.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/recipes/student_resnet20.py',
]
