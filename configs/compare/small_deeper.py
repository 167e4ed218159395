# A deeper student, ResNet-14 with two blocks a stage, at the student FLOPs of 18 epochs of DKD:
#     python tools/compare.py configs/compare/small_deeper.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 500 images each), ResNet-14, cost of 18 epochs of DKD'
_plain = {'model.architecture.backbone.depth': 14}
_fragmented = {'model.architecture.student.backbone.depth': 14}
_configs = dict(
    edu_dkd='edu DKD, three grades',
    depth_only_dkd='depth only, DKD',
    dkd_generalists='three generalists, DKD',
    depth_and_teachers_dkd='depth and teachers, DKD',
)
rows = [
    dict(name='DKD', config='../small/dkd.py', cfg_options=_plain, budget=dict(epochs=18)),
    *[
        dict(name=name, config=f'../small/{config}.py', cfg_options=_fragmented)
        for config, name in _configs.items()
    ],
]
seeds = [0, 1, 2, 3, 4]
budget = dict(student_flops='DKD')
work_dir = 'work_dirs/compare_small_deeper'
