# ResNet-20 on all of CIFAR-100, each row with the student FLOPs of 240 epochs of KD; for machines with GPUs:
#     python tools/compare.py configs/compare/cifar100_resnet20.py --gpus 0 1 2 3
# The rows with one grade and one teacher have the steps of the literature, the others a cosine a grade.
title = 'CIFAR-100, ResNet-20 from ResNet-110, cost of 240 epochs of KD'
_depth_only = {f'model.curriculum.grades.{index}.classes': new for index, new in enumerate(['all', 0, 0])}
rows = [
    dict(name='KD', config='../kd_resnet20_cifar100.py'),
    dict(name='student alone', config='../student_resnet20_cifar100.py'),
    dict(name='DKD', config='../dkd_resnet20_cifar100.py'),
    dict(name='edu KD, three grades', config='../edu_kd_resnet20_cifar100.py'),
    dict(name='edu DKD, three grades', config='../edu_dkd_resnet20_cifar100.py'),
    dict(name='depth only', config='../edu_kd_resnet20_cifar100.py', cfg_options=_depth_only),
    dict(name='depth only, DKD', config='../edu_dkd_resnet20_cifar100.py', cfg_options=_depth_only),
    dict(name='three generalists, DKD', config='../dkd_generalists_resnet20_cifar100.py'),
    dict(name='depth and teachers, DKD', config='../edu_dkd_generalists_resnet20_cifar100.py'),
    dict(name='experts without curriculum', config='../kd_experts_cifar100.py'),
    dict(name="experts, the paper's curriculum", config='../edu_kd_experts_cifar100.py'),
]
seeds = [0, 1, 2]
budget = dict(student_flops='KD')
baselines = ['KD', 'DKD']
work_dir = 'work_dirs/compare_cifar100_resnet20'
