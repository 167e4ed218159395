# ResNet-20 alone; the config adds data.
_base_ = [
    '../models/resnet20.py',
    '../experiments/student.py',
]

model = _base_.student

# The learning rates of the distillation literature, instead of one cosine.
param_scheduler = dict(
    _delete_=True, type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1)
