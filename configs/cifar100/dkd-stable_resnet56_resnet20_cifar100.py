# CIFAR-100: ResNet-20 from ResNet-56, with plain DKD under a rate that stays, then decays.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet20.py',
    '../_base_/models/resnet56.py',
    '../_base_/experiments/dkd_stable.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.teachers[0].architecture,
    teacher_ckpt=_base_.teachers[0].ckpt)
