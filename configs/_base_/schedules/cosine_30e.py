# One cosine over the whole run, for the baselines of the digits' curriculum.
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=30, eta_min=0)
