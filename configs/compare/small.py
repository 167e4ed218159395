# Education distillation and its baselines on 20 classes of CIFAR-100 at 16x16 pixels, at equal epochs:
#     python tools/compare.py configs/compare/small.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 500 images each), ResNet-8, 32 epochs'
_configs = dict(
    student='student alone',
    kd='KD',
    dkd='DKD',
    edu_dkd='edu DKD, three grades',
    edu_kd='edu KD, three grades',
    depth_only_dkd='depth only, DKD',
    depth_only='depth only',
    kd_experts='experts without curriculum',
    edu_kd_experts="experts, the paper's curriculum",
    edu_student='three grades without teacher',
    experts='experts, three grades',
)
rows = [dict(name=name, config=f'../small/{config}.py') for config, name in _configs.items()]
seeds = [0, 1, 2]
budget = dict(epochs=32)  # the configs say 240
baselines = ['KD', 'DKD']
work_dir = 'work_dirs/compare_small'
