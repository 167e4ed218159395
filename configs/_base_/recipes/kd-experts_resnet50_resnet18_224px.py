# ResNet-18 from the experts of edu-kd-experts, without a curriculum, at 224x224 pixels; the
# config adds data and input shape.
_base_ = [
    '../models/resnet18.py',
    '../models/resnet50_experts.py',
    '../experiments/kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=[dict(t, classes=share) for t, share in zip(_base_.teachers, _base_.shares)])
