# CIFAR-100: ResNet-20 from ResNet-110, with plain DKD.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet20.py',
    '../_base_/models/resnet110.py',
    '../_base_/experiments/dkd.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.teachers[0].architecture,
    teacher_ckpt=_base_.teachers[0].ckpt)

# The learning rates of the distillation literature, instead of one cosine.
param_scheduler = dict(
    _delete_=True, type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1)
