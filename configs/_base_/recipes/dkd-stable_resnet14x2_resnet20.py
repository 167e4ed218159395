# ResNet-20 from ResNet-14x2, with plain DKD under a rate that stays, then decays; the config adds data.
_base_ = [
    '../models/resnet20_of_resnet14x2.py',
    '../experiments/dkd_stable.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.generalist.architecture,
    teacher_ckpt=_base_.generalist.ckpt)
