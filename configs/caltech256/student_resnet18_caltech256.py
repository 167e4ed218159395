# Caltech-256: ResNet-18 alone.
_base_ = [
    '../_base_/datasets/caltech256.py',
    '../_base_/models/resnet18.py',
    '../_base_/experiments/student.py',
]

model = _base_.student
