# Food-101 at 32x32 pixels: ResNet-20 from ResNet-14x2 grows by blocks inside its stages, with DKD.
_base_ = [
    '../_base_/datasets/food101_32px.py',
    '../_base_/recipes/edu-dkd-blocks_resnet14x2_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
