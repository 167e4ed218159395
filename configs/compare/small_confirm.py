# The curriculum and the baseline that small_growth.py has chosen, with fresh seeds on the test images:
#     python tools/compare.py configs/compare/small_confirm.py --jobs 2
# Protocol, written before the runs: the same training images (450 of each class) and teacher as for choosing,
# seeds 10 to 14, paired. The figure is the last epoch's. Budgets are whole epochs, rounded to the advantage
# of the baseline, whose student FLOPs are 2.20e12 against 2.14e12. small_confirm_long.py has four times the
# budget, small_confirm_few_images.py 50 images of each class, small_confirm_resnet8.py the shallower student,
# small_confirm_resnet32.py and small_confirm_long_resnet32.py a deeper one.
# "blocks and sizes, 60 %" came in after the others had run, and before its own runs: is the curriculum
# within 0.3 points of the baseline, or better, at 60 % of the student FLOPs at most? "DKD, standardized,
# stable" came in still later, as small_growth.py had it after the first confirmation only, with the highest
# mean of the plain rows.
title = '20 classes of CIFAR-100 (16x16 pixels, 450 images each), ResNet-20, cost of 12 epochs of DKD'
rows = [
    dict(
        name='DKD, stable', config='../small/dkd-stable_resnet14x2_resnet20_small.py',
        budget=dict(epochs=12)),
    dict(
        name='blocks and sizes', config='../small/edu-dkd-blocks_resnet14x2_resnet20_small.py',
        budget=dict(epochs=21)),
    dict(
        name='blocks and sizes, 60 %',
        config='../small/edu-dkd-blocks_resnet14x2_resnet20_small.py', budget=dict(epochs=13)),
    dict(
        name='DKD, standardized, stable',
        config='../small/dkd-standardized-stable_resnet14x2_resnet20_small.py',
        budget=dict(epochs=12)),
]
cfg_options = {
    'hold_out.share': 0.1,
    'hold_out.validate': False,
    'model.keep_answers': True,
    'train_dataloader.resident.views_per_image': 8,
    'train_cfg.val_interval': 4,
}
seeds = [10, 11, 12, 13, 14]
baselines = ['DKD, stable', 'DKD, standardized, stable']
work_dir = 'work_dirs/compare_small_confirm'
