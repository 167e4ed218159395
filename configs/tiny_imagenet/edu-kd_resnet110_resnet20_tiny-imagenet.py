# Tiny-ImageNet: ResNet-20 from ResNet-110, with KD in three grades.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/recipes/edu-kd_resnet110_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
