# Food-101: ResNet-18 alone.
_base_ = [
    '../_base_/datasets/food101.py',
    '../_base_/recipes/student_resnet18_224px.py',
]
