# Tiny-ImageNet: ResNet-20 from ResNet-110, with plain KD.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/recipes/kd_resnet110_resnet20.py',
]
