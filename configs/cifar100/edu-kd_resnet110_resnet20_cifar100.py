# CIFAR-100: ResNet-20 from ResNet-110, with KD in three grades.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet20.py',
    '../_base_/models/resnet110.py',
    '../_base_/experiments/edu_kd.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.teachers)
