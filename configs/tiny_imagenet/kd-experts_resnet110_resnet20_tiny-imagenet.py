# Tiny-ImageNet: ResNet-20 from the experts of edu-kd-experts, without a curriculum.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/recipes/kd-experts_resnet110_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
