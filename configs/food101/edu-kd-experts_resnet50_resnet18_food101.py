# Food-101: the paper's curriculum (arXiv 2311.13811), ResNet-18 from three ResNet-50 experts.
_base_ = [
    '../_base_/datasets/food101.py',
    '../_base_/recipes/edu-kd-experts_resnet50_resnet18_224px.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
