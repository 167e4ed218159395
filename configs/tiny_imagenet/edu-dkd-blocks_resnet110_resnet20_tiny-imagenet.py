# Tiny-ImageNet: ResNet-20 from ResNet-110 grows by blocks inside its stages, with DKD. The
# curriculum was measured on smaller images (docs/results.md), not at this size.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/recipes/edu-dkd-blocks_resnet110_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
