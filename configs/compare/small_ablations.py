# Ablations of the small configs with few images (50 of each class for the students), each with the
# student FLOPs of 64 epochs of KD:
#     python tools/compare.py configs/compare/small_ablations.py --jobs 2
title = 'Ablations: 20 classes of CIFAR-100 (16x16 pixels, 50 images each), ResNet-8, cost of 64 epochs of KD'
_configs = dict(
    edu_kd='edu KD, three grades',
    depth_only='depth only',
    kd_generalists='three generalists',
    depth_and_teachers='depth and teachers',
    early_promotions='early promotions',
    depth_only_attention='depth only and attention',
    kd_attention='KD and attention at the cuts',
    two_grades='two grades',
    experts_and_generalist='generalist and experts',
    paper_mixed="experts, the paper's curriculum, mixed batches",
    five_grades='five grades',
    late_promotions='late promotions',
    superclasses='classes by superclass',
    shuffled='classes shuffled',
    one_schedule='one schedule over all grades',
    classes_only='classes only',
    depth_only_one_schedule='depth only, one schedule',
    teachers_only='teachers only',
    optimizer_reset='optimizer reset',
    edu_kd_attention='edu KD and attention at the cuts',
    experts_then_generalist='experts, then the generalist',
    experts='experts, three grades',
    experts_by_teacher='experts, teacher by teacher',
)
rows = [
    dict(name='KD', config='../small/kd.py', budget=dict(epochs=64)),
    *[dict(name=name, config=f'../small/{config}.py') for config, name in _configs.items()],
]
cfg_options = {'train_dataloader.dataset.samples_per_class': 50, 'train_cfg.val_interval': 2}
seeds = [0, 1, 2]
budget = dict(student_flops='KD')
work_dir = 'work_dirs/compare_small_ablations'
