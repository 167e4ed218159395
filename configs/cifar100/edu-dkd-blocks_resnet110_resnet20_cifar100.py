# CIFAR-100: ResNet-20 from ResNet-110 grows by blocks inside its stages, with DKD. The curriculum was
# measured at this size with ResNet-32 as teacher (docs/results.md), not with ResNet-110.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/recipes/edu-dkd-blocks_resnet110_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
