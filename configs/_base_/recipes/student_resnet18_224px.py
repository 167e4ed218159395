# ResNet-18 alone, at 224x224 pixels; the config adds data.
_base_ = [
    '../models/resnet18.py',
    '../experiments/student.py',
]

model = _base_.student
