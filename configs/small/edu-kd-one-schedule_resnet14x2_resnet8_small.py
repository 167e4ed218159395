# One cosine over the whole run, instead of a restart at each promotion.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True, T_max=240, eta_min=0)
