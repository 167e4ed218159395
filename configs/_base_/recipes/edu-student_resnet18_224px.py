# ResNet-18 alone in three grades, without distillation, at 224x224 pixels; the config adds data
# and input shape.
_base_ = [
    '../models/resnet18.py',
    '../experiments/edu_student.py',
]

model = dict(architecture=dict(student=_base_.student))
