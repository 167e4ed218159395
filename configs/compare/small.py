# Education distillation, its baselines and its ablations on 20 classes of CIFAR-100 at 16x16 pixels:
#     python tools/compare.py configs/compare/small.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 500 images each), ResNet-8, 32 epochs'
_configs = dict(
    student='student alone',
    kd='KD',
    dkd='DKD',
    kd_experts='experts without curriculum',
    edu_kd_experts="experts, the paper's curriculum",
    experts='experts, three grades',
    edu_student='three grades without teacher',
    edu_kd='edu KD, three grades',
    edu_dkd='edu DKD, three grades',
    experts_and_generalist='generalist and experts',
    depth_only='depth only',
    classes_only='classes only',
    one_schedule='one schedule over all grades',
    two_grades='two grades',
    five_grades='five grades',
    early_promotions='early promotions',
    late_promotions='late promotions',
    shuffled='classes shuffled',
    superclasses='classes by superclass',
    easy_to_hard='classes from easy to hard',
    hard_to_easy='classes from hard to easy',
    optimizer_reset='optimizer reset',
    experts_by_teacher='experts, teacher by teacher',
    experts_then_generalist='experts, then the generalist',
    exits='auxiliary exits',
    previous_grade='previous grade as teacher',
    edu_kd_attention='edu KD and attention at the cuts',
    kd_attention='KD and attention at the cuts',
    depth_only_attention='depth only and attention',
    depth_only_exits='depth only and exits',
    depth_only_one_schedule='depth only, one schedule',
    kd_generalists='three generalists',
    teachers_only='teachers only',
    depth_and_teachers='depth and teachers',
)
rows = [dict(name=name, config=f'../small/{config}.py') for config, name in _configs.items()]
seeds = [0, 1, 2]
budget = dict(epochs=32)  # instead of the 240 of the configs
work_dir = 'work_dirs/compare_small'
