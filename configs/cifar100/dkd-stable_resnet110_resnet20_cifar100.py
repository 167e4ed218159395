# CIFAR-100: ResNet-20 from ResNet-110, with plain DKD under a rate that stays, then decays.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/recipes/dkd-stable_resnet110_resnet20.py',
]
