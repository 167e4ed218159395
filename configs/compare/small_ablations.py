# Ablations of the small configs, each with the student FLOPs of 18 epochs of KD:
#     python tools/compare.py configs/compare/small_ablations.py --jobs 2
title = 'Ablations: 20 classes of CIFAR-100 (16x16 pixels), ResNet-8, cost of 18 epochs of KD'
_configs = dict(
    edu_kd='edu KD, three grades',
    depth_only='depth only',
    early_promotions='early promotions',
    late_promotions='late promotions',
    two_grades='two grades',
    five_grades='five grades',
    classes_only='classes only',
    one_schedule='one schedule over all grades',
    depth_only_one_schedule='depth only, one schedule',
    optimizer_reset='optimizer reset',
    easy_to_hard='classes from easy to hard',
    hard_to_easy='classes from hard to easy',
    superclasses='classes by superclass',
    shuffled='classes shuffled',
    exits='auxiliary exits',
    depth_only_exits='depth only and exits',
    previous_grade='previous grade as teacher',
    kd_attention='KD and attention at the cuts',
    edu_kd_attention='edu KD and attention at the cuts',
    depth_only_attention='depth only and attention',
    kd_generalists='three generalists',
    teachers_only='teachers only',
    depth_and_teachers='depth and teachers',
    experts='experts, three grades',
    experts_by_teacher='experts, teacher by teacher',
    paper_mixed="experts, the paper's curriculum, mixed batches",
    experts_and_generalist='generalist and experts',
    experts_then_generalist='experts, then the generalist',
)
rows = [
    dict(name='KD', config='../small/kd.py', budget=dict(epochs=18)),
    *[dict(name=name, config=f'../small/{config}.py') for config, name in _configs.items()],
]
seeds = [0]
budget = dict(student_flops='KD')
work_dir = 'work_dirs/compare_small_ablations'
