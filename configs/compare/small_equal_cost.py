# Education distillation and its baselines, each with the student FLOPs of 18 epochs of KD:
#     python tools/compare.py configs/compare/small_equal_cost.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 500 images each), ResNet-8, cost of 18 epochs of KD'
_configs = dict(
    student='student alone',
    dkd='DKD',
    edu_kd='edu KD, three grades',
    edu_dkd='edu DKD, three grades',
    depth_only='depth only',
    depth_only_dkd='depth only, DKD',
    dkd_generalists='three generalists, DKD',
    depth_and_teachers_dkd='depth and teachers, DKD',
)
rows = [
    dict(name='KD', config='../small/kd.py', budget=dict(epochs=18)),
    *[dict(name=name, config=f'../small/{config}.py') for config, name in _configs.items()],
]
seeds = [0, 1, 2]
budget = dict(student_flops='KD')
baselines = ['KD', 'DKD']
work_dir = 'work_dirs/compare_small_equal_cost'
