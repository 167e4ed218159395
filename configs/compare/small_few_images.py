# Few images: 50 of each class for the students (the teacher has learned from all 500):
#     python tools/compare.py configs/compare/small_few_images.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 50 images each), ResNet-8, cost of 64 epochs of KD'
_configs = {
    'student_resnet8_small': 'student alone',
    'dkd_resnet14x2_resnet8_small': 'DKD',
    'edu-dkd_resnet14x2_resnet8_small': 'edu DKD, three grades',
    'edu-dkd-depth-only_resnet14x2_resnet8_small': 'depth only, DKD',
    'dkd-generalists_resnet8x2-20-14x2_resnet8_small': 'three generalists, DKD',
    'edu-dkd-teachers-only_resnet8x2-20-14x2_resnet8_small': 'teachers only, DKD',
    'edu-dkd-depth-and-teachers_resnet8x2-20-14x2_resnet8_small': 'depth and teachers, DKD',
}
rows = [
    dict(name='KD', config='../small/kd_resnet14x2_resnet8_small.py', budget=dict(epochs=64)),
    *[dict(name=name, config=f'../small/{config}.py') for config, name in _configs.items()],
]
cfg_options = {'train_dataloader.dataset.samples_per_class': 50, 'train_cfg.val_interval': 2}
seeds = [0, 1, 2, 3, 4]
budget = dict(student_flops='KD')
baselines = ['DKD', 'three generalists, DKD']
work_dir = 'work_dirs/compare_small_few_images'
