# ResNet-20 alone in three grades, without distillation; the config adds data and input shape.
_base_ = [
    '../models/resnet20.py',
    '../experiments/edu_student.py',
]

model = dict(architecture=dict(student=_base_.student))
