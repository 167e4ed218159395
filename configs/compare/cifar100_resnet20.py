# ResNet-20 on all of CIFAR-100, each row with the student FLOPs of 240 epochs of KD; for machines with GPUs:
#     python tools/compare.py configs/compare/cifar100_resnet20.py --gpus 0 1 2 3
# Written before any run (channels_last, and how often is validated and saved, came in with the first). The
# curriculum and the baseline that small_growth.py has chosen come first, with
# seeds that the choice has not seen; each teacher is asked once for each view of an image. "from ResNet-56"
# is from the file in weights/, which was trained for 50 epochs; all other teachers are trained on the way,
# by the recipe of the literature. "blocks and sizes" and "stable" decay the learning rate once, the other
# curricula and the three generalists have a cosine in each grade, the rest has the steps of the literature.
title = 'CIFAR-100, ResNet-20, cost of 240 epochs of KD'
_depth_only = {f'model.curriculum.grades.{index}.classes': new for index, new in enumerate(['all', 0, 0])}
_rows = [
    ('DKD, stable', 'dkd-stable_resnet110', {}),
    ('blocks and sizes', 'edu-dkd-blocks_resnet110', {}),
    ('DKD, stable, from ResNet-56', 'dkd-stable_resnet56', {}),
    ('blocks and sizes, from ResNet-56', 'edu-dkd-blocks_resnet56', {}),
    ('KD', 'kd_resnet110', {}),
    ('DKD', 'dkd_resnet110', {}),
    ('edu KD, three grades', 'edu-kd_resnet110', {}),
    ('edu DKD, three grades', 'edu-dkd_resnet110', {}),
    ('depth only', 'edu-kd_resnet110', _depth_only),
    ('depth only, DKD', 'edu-dkd_resnet110', _depth_only),
    ('three generalists, DKD', 'dkd-generalists_resnet32-56-110', {}),
    ('depth and teachers, DKD', 'edu-dkd-depth-and-teachers_resnet32-56-110', {}),
    ('experts without curriculum', 'kd-experts_resnet110', {}),
    ("experts, the paper's curriculum", 'edu-kd-experts_resnet110', {}),
]
rows = [
    *[
        dict(
            name=name,
            config=f'../cifar100/{config}_resnet20_cifar100.py',
            cfg_options={'model.keep_answers': True, **options})
        for name, config, options in _rows
    ],
    dict(name='student alone', config='../cifar100/student_resnet20_cifar100.py'),
]
seeds = [10, 11, 12]
cfg_options = {
    'model.channels_last': True,
    'train_cfg.val_interval': 30,
    'default_hooks.checkpoint.interval': 30,
}
budget = dict(student_flops='KD')
baselines = ['DKD, stable', 'DKD, stable, from ResNet-56', 'KD']
work_dir = 'work_dirs/compare_cifar100_resnet20'
