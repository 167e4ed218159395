# All of CIFAR-100 at five times the budget of cifar100_short.py, for a machine with a GPU:
#     python tools/compare.py configs/compare/cifar100_long.py --gpus 0 0 0 0 0 0
# Protocol, written before the runs: the baseline and the curriculum are those that small_growth.py chose on
# held-out images; here both are trained on all training images with seeds of their own, and the figure is the
# last epoch's on the test images. The teacher is the ResNet-56 of weights/, with sixteen views of each image.
title = 'CIFAR-100, ResNet-20 from ResNet-56, cost of 60 epochs of DKD'
rows = [
    dict(
        name='DKD, stable', config='../cifar100/dkd-stable_resnet56_resnet20_cifar100.py',
        budget=dict(epochs=60)),
    dict(
        name='blocks and sizes', config='../cifar100/edu-dkd-blocks_resnet56_resnet20_cifar100.py',
        budget=dict(epochs=105)),
]
cfg_options = {
    'model.channels_last': True,  # faster on a CPU, and on an H200; came in when the first runs began
    'model.keep_answers': True,
    'train_dataloader.resident.views_per_image': 16,
    'train_cfg.val_interval': 15,
}
seeds = [10, 11, 12]
baselines = ['DKD, stable']
work_dir = 'work_dirs/compare_cifar100_long'
