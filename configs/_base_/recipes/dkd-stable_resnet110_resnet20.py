# ResNet-20 from ResNet-110, with plain DKD under a rate that stays, then decays; the config adds data.
_base_ = [
    '../models/resnet20.py',
    '../models/resnet110.py',
    '../experiments/dkd_stable.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.teachers[0].architecture,
    teacher_ckpt=_base_.teachers[0].ckpt)
