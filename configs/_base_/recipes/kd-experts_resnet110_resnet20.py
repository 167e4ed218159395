# ResNet-20 from the experts of edu-kd-experts, without a curriculum; the config adds data and
# input shape.
_base_ = [
    '../models/resnet20.py',
    '../models/resnet110_experts.py',
    '../experiments/kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=[dict(t, classes=share) for t, share in zip(_base_.teachers, _base_.shares)])
