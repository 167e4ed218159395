# A deeper student, ResNet-14 with two blocks a stage, at the student FLOPs of 18 epochs of DKD:
#     python tools/compare.py configs/compare/small_deeper.py --jobs 2
title = '20 classes of CIFAR-100 (16x16 pixels, 500 images each), ResNet-14, cost of 18 epochs of DKD'
_plain = {'model.architecture.backbone.depth': 14}
_fragmented = {'model.architecture.student.backbone.depth': 14}
rows = [
    dict(name='DKD', config='../small/dkd.py', cfg_options=_plain, budget=dict(epochs=18)),
    dict(name='edu DKD, three grades', config='../small/edu_dkd.py', cfg_options=_fragmented),
    dict(name='depth only, DKD', config='../small/depth_only_dkd.py', cfg_options=_fragmented),
]
seeds = [0, 1, 2, 3, 4]
budget = dict(student_flops='DKD')
work_dir = 'work_dirs/compare_small_deeper'
