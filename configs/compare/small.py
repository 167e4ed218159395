# Education distillation and its baselines on 20 classes of CIFAR-100 at 16x16 pixels, at equal epochs:
#     python tools/compare.py configs/compare/small.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 500 images each), ResNet-8, 32 epochs'
_configs = {
    'student_resnet8_small': 'student alone',
    'kd_resnet14x2_resnet8_small': 'KD',
    'dkd_resnet14x2_resnet8_small': 'DKD',
    'edu-dkd_resnet14x2_resnet8_small': 'edu DKD, three grades',
    'edu-kd_resnet14x2_resnet8_small': 'edu KD, three grades',
    'edu-dkd-depth-only_resnet14x2_resnet8_small': 'depth only, DKD',
    'edu-kd-depth-only_resnet14x2_resnet8_small': 'depth only',
    'kd-experts_resnet14x2_resnet8_small': 'experts without curriculum',
    'edu-kd-experts_resnet14x2_resnet8_small': "experts, the paper's curriculum",
    'edu-student_resnet8_small': 'three grades without teacher',
    'edu-kd-experts-three-grades_resnet14x2_resnet8_small': 'experts, three grades',
}
rows = [dict(name=name, config=f'../small/{config}.py') for config, name in _configs.items()]
seeds = [0, 1, 2]
budget = dict(epochs=32)  # the configs say 240
baselines = ['KD', 'DKD']
work_dir = 'work_dirs/compare_small'
