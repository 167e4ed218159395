# Food-101 at 32x32 pixels: ResNet-20 from ResNet-14x2, with plain DKD under a rate that stays, then
# decays.
_base_ = [
    '../_base_/datasets/food101_32px.py',
    '../_base_/recipes/dkd-stable_resnet14x2_resnet20.py',
]
