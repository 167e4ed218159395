# small_confirm.py with 50 images of each class for the student (the teacher has learned from all 450):
#     python tools/compare.py configs/compare/small_confirm_few_images.py --jobs 2
_base_ = './small_confirm.py'

title = '20 classes of CIFAR-100 (16x16 pixels, 50 images each), ResNet-20, cost of 64 epochs of DKD'
rows = [dict(row, budget=dict(epochs=epochs)) for row, epochs in zip(_base_.rows, (64, 112, 67, 64))]
cfg_options = {'train_dataloader.dataset.samples_per_class': 50, 'train_cfg.val_interval': 8}
work_dir = 'work_dirs/compare_small_confirm_few_images'
