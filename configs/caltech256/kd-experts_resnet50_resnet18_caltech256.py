# Caltech-256: ResNet-18 from the experts of edu-kd-experts, without a curriculum.
_base_ = [
    '../_base_/datasets/caltech256.py',
    '../_base_/models/resnet18.py',
    '../_base_/models/resnet50_experts.py',
    '../_base_/experiments/kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=[dict(t, classes=share) for t, share in zip(_base_.teachers, _base_.shares)])
