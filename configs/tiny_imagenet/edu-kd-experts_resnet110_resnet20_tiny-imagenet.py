# Tiny-ImageNet: the paper's curriculum (arXiv 2311.13811), ResNet-20 from three ResNet-110
# experts.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/recipes/edu-kd-experts_resnet110_resnet20.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
