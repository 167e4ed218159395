# Tiny-ImageNet: ResNet-18 alone.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/models/resnet18_small_images.py',
    '../_base_/experiments/student.py',
]

model = _base_.student
