# Food-101: ResNet-18 alone.
_base_ = [
    '../_base_/datasets/food101.py',
    '../_base_/models/resnet18.py',
    '../_base_/experiments/student.py',
]

model = _base_.student
