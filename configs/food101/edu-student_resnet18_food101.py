# Food-101: ResNet-18 alone in three grades, without distillation.
_base_ = [
    '../_base_/datasets/food101.py',
    '../_base_/recipes/edu-student_resnet18_224px.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
