# Only the depth grows, under one cosine over the whole run.
_base_ = './edu-kd-depth-only_resnet14x2_resnet8_small.py'

param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True, T_max=240, eta_min=0)
