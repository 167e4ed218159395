# Education distillation and its baselines, each with the student FLOPs of 18 epochs of KD:
#     python tools/compare.py configs/compare/small_equal_cost.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 500 images each), ResNet-8, cost of 18 epochs of KD'
_configs = {
    'dkd_resnet14x2_resnet8_small': 'DKD',
    'edu-kd_resnet14x2_resnet8_small': 'edu KD, three grades',
    'edu-dkd_resnet14x2_resnet8_small': 'edu DKD, three grades',
    'edu-kd-depth-only_resnet14x2_resnet8_small': 'depth only',
    'edu-dkd-depth-only_resnet14x2_resnet8_small': 'depth only, DKD',
    'dkd-generalists_resnet8x2-20-14x2_resnet8_small': 'three generalists, DKD',
    'edu-dkd-depth-and-teachers_resnet8x2-20-14x2_resnet8_small': 'depth and teachers, DKD',
}
# All rows and seeds ask a teacher once for each view of an image.
_kept = {'model.keep_answers': True}
rows = [
    dict(
        name='KD',
        config='../small/kd_resnet14x2_resnet8_small.py',
        budget=dict(epochs=18),
        cfg_options=_kept),
    dict(name='student alone', config='../small/student_resnet8_small.py'),
    *[
        dict(name=name, config=f'../small/{config}.py', cfg_options=_kept)
        for config, name in _configs.items()
    ],
]
seeds = [0, 1, 2]
budget = dict(student_flops='KD')
baselines = ['KD', 'DKD']
work_dir = 'work_dirs/compare_small_equal_cost'
