# cifar100_short.py at five times its budget, with a deeper teacher, for a machine with a GPU:
#     python tools/compare.py configs/compare/cifar100_long.py --gpus 0 0 0 0
# Written before the runs, but for channels_last, which came in when the first ones began. The teacher is the
# ResNet-56 of weights/, with sixteen views of each image.
_base_ = './cifar100_short.py'

title = 'CIFAR-100, ResNet-20 from ResNet-56, cost of 60 epochs of DKD'
rows = [
    dict(
        name='DKD, stable', config='../cifar100/dkd-stable_resnet56_resnet20_cifar100.py',
        budget=dict(epochs=60)),
    dict(
        name='blocks and sizes', config='../cifar100/edu-dkd-blocks_resnet56_resnet20_cifar100.py',
        budget=dict(epochs=105)),
]
cfg_options = {'train_dataloader.resident.views_per_image': 16, 'train_cfg.val_interval': 15}
baselines = ['DKD, stable']
work_dir = 'work_dirs/compare_cifar100_long'
