# Food-101: ResNet-18 from the zoo's ResNet-50, fine-tuned, grows by blocks inside its stages, with
# KD. The curriculum was measured on smaller images (docs/results.md), not at this size.
_base_ = [
    '../_base_/datasets/food101.py',
    '../_base_/recipes/edu-kd-blocks_resnet50_resnet18_224px.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
