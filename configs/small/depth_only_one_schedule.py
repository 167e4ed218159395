# Only the depth grows, under one cosine over the whole run.
_base_ = './depth_only.py'

param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True, T_max=240, eta_min=0)
