# small_confirm_resnet32.py at four times the budget:
#     python tools/compare.py configs/compare/small_confirm_long_resnet32.py --jobs 2
_base_ = './small_confirm_resnet32.py'

title = '20 classes of CIFAR-100 (16x16 pixels, 450 images each), ResNet-32, cost of 48 epochs of DKD'
rows = [dict(row, budget=dict(epochs=epochs)) for row, epochs in zip(_base_.rows, (48, 84, 50))]
cfg_options = {'train_cfg.val_interval': 10}
work_dir = 'work_dirs/compare_small_confirm_long_resnet32'
