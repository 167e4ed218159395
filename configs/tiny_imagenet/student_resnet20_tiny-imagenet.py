# Tiny-ImageNet: ResNet-20 alone.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/recipes/student_resnet20.py',
]
