# One cosine over the whole run, instead of a restart at each promotion.
_base_ = './edu_kd.py'

param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True, T_max=240, eta_min=0)
