# 20 classes of CIFAR-100: ResNet-8 from ResNet-14x2, with DKD in three grades.
_base_ = [
    '../_base_/datasets/cifar100_20classes.py',
    '../_base_/models/resnet8_small.py',
    '../_base_/experiments/edu_dkd.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=[_base_.generalist])
