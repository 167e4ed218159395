# 20 classes of CIFAR-100: ResNet-20 from ResNet-14x2, with plain KD under a rate that stays, then decays.
_base_ = [
    '../_base_/datasets/cifar100_20classes.py',
    '../_base_/models/resnet20_small.py',
    '../_base_/experiments/kd_stable.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.generalist.architecture,
    teacher_ckpt=_base_.generalist.ckpt)
