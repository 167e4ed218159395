# CIFAR-100: ResNet-20 from ResNet-110 grows by blocks inside its stages, with DKD. The curriculum was
# measured at this size from ResNet-32 and from ResNet-56 (docs/results.md).
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/recipes/edu-dkd-blocks_resnet110_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
