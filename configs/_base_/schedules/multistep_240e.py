# The learning rates of the distillation literature (Tian et al. 2020, CIFAR-100).
train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=1)
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1)
