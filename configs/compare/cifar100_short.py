# All of CIFAR-100 at a budget that a CPU can pay, about an hour of one core a run (nine at once on one
# H200: four minutes):
#     python tools/compare.py configs/compare/cifar100_short.py --jobs 2
# Protocol, written before the runs: the baseline and the curriculum are those that small_growth.py chose on
# held-out images; here both are trained on all training images with seeds of their own, and the figure is the
# last epoch's on the test images. The teacher is the ResNet-32 of weights/, with eight views of each image.
# Budgets are whole epochs, rounded to the advantage of the baseline; one row has 60 % of its student
# FLOPs at most: is it within 0.3 points of the baseline, or better? "DKD, standardized, stable" came in
# later, before its own runs, as small_growth.py had it after the others had been confirmed.
title = 'CIFAR-100, ResNet-20 from ResNet-32, cost of 12 epochs of DKD'
_plain = {'model.teacher.backbone.depth': 32, 'model.teacher_ckpt': 'weights/resnet32_cifar100.pth'}
_blocks = {
    'model.teachers.0.name': 'resnet32',
    'model.teachers.0.architecture.backbone.depth': 32,
    'model.teachers.0.ckpt': 'weights/resnet32_cifar100.pth',
}
# As dkd-standardized-stable of configs/small.
_standardized = {
    'model.distiller.connectors': {
        who: dict(type='LogitStandardization') for who in ('student', 'teacher')},
    'model.distiller.distill_losses.loss_dkd.tau': 2,
    'model.distiller.distill_losses.loss_dkd.loss_weight': 9,
    'model.distiller.loss_forward_mappings.loss_dkd.preds_S.connector': 'student',
    'model.distiller.loss_forward_mappings.loss_dkd.preds_T.connector': 'teacher',
}
rows = [
    dict(
        name='DKD, stable',
        config='../cifar100/dkd-stable_resnet56_resnet20_cifar100.py', cfg_options=_plain,
        budget=dict(epochs=12)),
    dict(
        name='blocks and sizes',
        config='../cifar100/edu-dkd-blocks_resnet56_resnet20_cifar100.py', cfg_options=_blocks,
        budget=dict(epochs=21)),
    dict(
        name='blocks and sizes, 60 %',
        config='../cifar100/edu-dkd-blocks_resnet56_resnet20_cifar100.py', cfg_options=_blocks,
        budget=dict(epochs=13)),
    dict(
        name='DKD, standardized, stable',
        config='../cifar100/dkd-stable_resnet56_resnet20_cifar100.py',
        cfg_options={**_plain, **_standardized}, budget=dict(epochs=12)),
]
cfg_options = {
    'model.channels_last': True,  # faster on a CPU, and on an H200
    'model.keep_answers': True,
    'train_dataloader.resident.views_per_image': 8,
    'train_cfg.val_interval': 4,
}
seeds = [10, 11, 12]
baselines = ['DKD, stable', 'DKD, standardized, stable']
work_dir = 'work_dirs/compare_cifar100_short'
