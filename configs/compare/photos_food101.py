# The curriculum and the baseline that small_growth.py has chosen, on photos at 32x32 pixels, here of
# Food-101, or of a part of it, whatever data_root holds:
#     python tools/compare.py configs/compare/photos_food101.py --jobs 2
# Protocol, written before the runs: seeds 10 to 12, paired; the figure is the last epoch's, on the test
# (Tiny-ImageNet: validation) images, on which nothing was chosen. The teacher has learned from the same
# training images. Budgets are whole epochs, rounded to the advantage of the baseline; the last row has 60 %
# of its student FLOPs at most: is it within 0.3 points of the baseline, or better?
# photos_caltech256.py and photos_tiny_imagenet.py are the same on other data sets.
title = 'Part of Food-101 (32x32 pixels), ResNet-20, cost of 60 epochs of DKD'
_plain = '../food101/dkd-stable_resnet14x2_resnet20_food101.py'
_blocks = '../food101/edu-dkd-blocks_resnet14x2_resnet20_food101.py'
rows = [
    dict(name='DKD, stable', config=_plain, budget=dict(epochs=60)),
    dict(name='blocks and sizes', config=_blocks, budget=dict(epochs=107)),
    dict(name='blocks and sizes, 60 %', config=_blocks, budget=dict(epochs=64)),
]
cfg_options = {
    'model.channels_last': True,
    'model.keep_answers': True,
    'train_dataloader.resident.views_per_image': 8,
    'train_cfg.val_interval': 20,
}
seeds = [10, 11, 12]
baselines = ['DKD, stable']
work_dir = 'work_dirs/compare_photos_food101'
