# CIFAR-100: ResNet-20 alone.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet20.py',
    '../_base_/experiments/student.py',
]

model = _base_.student

# The learning rates of the distillation literature, instead of one cosine.
param_scheduler = dict(
    _delete_=True, type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1)
