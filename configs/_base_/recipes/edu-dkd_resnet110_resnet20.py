# ResNet-20 from ResNet-110, with DKD in three grades; the config adds data and input shape.
_base_ = [
    '../models/resnet20.py',
    '../models/resnet110.py',
    '../experiments/edu_dkd.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=_base_.teachers)
