# ResNet-20 from ResNet-110, with plain DKD; the config adds data.
_base_ = [
    '../models/resnet20.py',
    '../models/resnet110.py',
    '../experiments/dkd.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.teachers[0].architecture,
    teacher_ckpt=_base_.teachers[0].ckpt)

# The learning rates of the distillation literature, instead of one cosine.
param_scheduler = dict(
    _delete_=True, type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1)
