# Caltech-256: ResNet-18 from the experts of edu-kd-experts, without a curriculum.
_base_ = [
    '../_base_/datasets/caltech256.py',
    '../_base_/recipes/kd-experts_resnet50_resnet18_224px.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
