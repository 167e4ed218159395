# Caltech-256: ResNet-18 alone.
_base_ = [
    '../_base_/datasets/caltech256.py',
    '../_base_/recipes/student_resnet18_224px.py',
]
