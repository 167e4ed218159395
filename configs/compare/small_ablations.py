# Ablations of the small configs with few images (50 of each class for the students), each with the
# student FLOPs of 64 epochs of KD:
#     python tools/compare.py configs/compare/small_ablations.py --jobs 2
title = 'Ablations: 20 classes of CIFAR-100 (16x16 pixels, 50 images each), ResNet-8, cost of 64 epochs of KD'
_configs = {
    'edu-kd_resnet14x2_resnet8_small': 'edu KD, three grades',
    'edu-kd-depth-only_resnet14x2_resnet8_small': 'depth only',
    'kd-generalists_resnet8x2-20-14x2_resnet8_small': 'three generalists',
    'edu-kd-depth-and-teachers_resnet8x2-20-14x2_resnet8_small': 'depth and teachers',
    'edu-kd-early-promotions_resnet14x2_resnet8_small': 'early promotions',
    'edu-kd-depth-only-attention_resnet14x2_resnet8_small': 'depth only and attention',
    'kd-attention_resnet14x2_resnet8_small': 'KD and attention at the cuts',
    'edu-kd-two-grades_resnet14x2_resnet8_small': 'two grades',
    'edu-kd-experts-and-generalist_resnet14x2_resnet8_small': 'generalist and experts',
    'edu-kd-experts-mixed_resnet14x2_resnet8_small': "experts, the paper's curriculum, mixed batches",
    'edu-kd-five-grades_resnet14x2_resnet8_small': 'five grades',
    'edu-kd-late-promotions_resnet14x2_resnet8_small': 'late promotions',
    'edu-kd-superclasses_resnet14x2_resnet8_small': 'classes by superclass',
    'edu-kd-shuffled_resnet14x2_resnet8_small': 'classes shuffled',
    'edu-kd-one-schedule_resnet14x2_resnet8_small': 'one schedule over all grades',
    'edu-kd-classes-only_resnet14x2_resnet8_small': 'classes only',
    'edu-kd-depth-only-one-schedule_resnet14x2_resnet8_small': 'depth only, one schedule',
    'edu-kd-teachers-only_resnet8x2-20-14x2_resnet8_small': 'teachers only',
    'edu-kd-optimizer-reset_resnet14x2_resnet8_small': 'optimizer reset',
    'edu-kd-attention_resnet14x2_resnet8_small': 'edu KD and attention at the cuts',
    'edu-kd-experts-then-generalist_resnet14x2_resnet8_small': 'experts, then the generalist',
    'edu-kd-experts-three-grades_resnet14x2_resnet8_small': 'experts, three grades',
    'edu-kd-experts-by-teacher_resnet14x2_resnet8_small': 'experts, teacher by teacher',
}
rows = [
    dict(name='KD', config='../small/kd_resnet14x2_resnet8_small.py', budget=dict(epochs=64)),
    *[dict(name=name, config=f'../small/{config}.py') for config, name in _configs.items()],
]
cfg_options = {'train_dataloader.dataset.samples_per_class': 50, 'train_cfg.val_interval': 2}
seeds = [0, 1, 2]
budget = dict(student_flops='KD')
work_dir = 'work_dirs/compare_small_ablations'
