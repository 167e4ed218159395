# One learning rate over the whole run: after a warm-up of one epoch it stays, then one cosine takes it
# to 0, over the last 60 % of a plain run. The decay of a curriculum begins with its last grade; a
# config over this one, or over a curriculum that uses it, says so with
#     param_scheduler = [_base_.warm_up, dict(_base_.decay, begin=120)]
# and `end`, if max_epochs is not 240. Grades in iterations: by_epoch=False and
# convert_to_iter_based=False in both, with all times in iterations.
train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=1)
warm_up = dict(type='LinearLR', start_factor=0.1, begin=0, end=1, by_epoch=True, convert_to_iter_based=True)
decay = dict(
    type='CosineAnnealingLR', eta_min=0, begin=96, end=240, by_epoch=True, convert_to_iter_based=True)
param_scheduler = [warm_up, decay]
