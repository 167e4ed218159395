# A deeper student, ResNet-14 with two blocks a stage, at the student FLOPs of 18 epochs of DKD:
#     python tools/compare.py configs/compare/small_deeper.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 500 images each), ResNet-14, cost of 18 epochs of DKD'
_plain = {'model.architecture.backbone.depth': 14}
_fragmented = {'model.architecture.student.backbone.depth': 14}
_configs = {
    'edu-dkd_resnet14x2_resnet8_small': 'edu DKD, three grades',
    'edu-dkd-depth-only_resnet14x2_resnet8_small': 'depth only, DKD',
    'dkd-generalists_resnet8x2-20-14x2_resnet8_small': 'three generalists, DKD',
    'edu-dkd-depth-and-teachers_resnet8x2-20-14x2_resnet8_small': 'depth and teachers, DKD',
}
rows = [
    dict(
        name='DKD', config='../small/dkd_resnet14x2_resnet8_small.py', cfg_options=_plain,
        budget=dict(epochs=18)),
    *[
        dict(name=name, config=f'../small/{config}.py', cfg_options=_fragmented)
        for config, name in _configs.items()
    ],
]
seeds = [0, 1, 2, 3, 4]
budget = dict(student_flops='DKD')
work_dir = 'work_dirs/compare_small_deeper'
