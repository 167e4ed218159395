# One cosine over the whole run, for the baselines of curricula that give each grade its own.
train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=1)
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=240, eta_min=0)
