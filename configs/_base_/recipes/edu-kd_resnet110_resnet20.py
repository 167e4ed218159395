# ResNet-20 from ResNet-110, with KD in three grades; the config adds data and input shape.
_base_ = [
    '../models/resnet20.py',
    '../models/resnet110.py',
    '../experiments/edu_kd.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=_base_.teachers)
