# CIFAR-100: ResNet-20 from ResNet-110, with plain DKD.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/recipes/dkd_resnet110_resnet20.py',
]
