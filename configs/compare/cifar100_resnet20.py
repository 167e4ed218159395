# ResNet-20 on all of CIFAR-100, each row with the student FLOPs of 240 epochs of KD; for machines with GPUs:
#     python tools/compare.py configs/compare/cifar100_resnet20.py --gpus 0 1 2 3
# The rows with one grade and one teacher have the steps of the literature, the others a cosine a grade.
title = 'CIFAR-100, ResNet-20 from ResNet-110, cost of 240 epochs of KD'
_depth_only = {f'model.curriculum.grades.{index}.classes': new for index, new in enumerate(['all', 0, 0])}
rows = [
    dict(name='KD', config='../cifar100/kd_resnet110_resnet20_cifar100.py'),
    dict(name='student alone', config='../cifar100/student_resnet20_cifar100.py'),
    dict(name='DKD', config='../cifar100/dkd_resnet110_resnet20_cifar100.py'),
    dict(name='edu KD, three grades', config='../cifar100/edu-kd_resnet110_resnet20_cifar100.py'),
    dict(
        name='edu DKD, three grades',
        config='../cifar100/edu-dkd_resnet110_resnet20_cifar100.py'),
    dict(
        name='depth only',
        config='../cifar100/edu-kd_resnet110_resnet20_cifar100.py', cfg_options=_depth_only),
    dict(
        name='depth only, DKD',
        config='../cifar100/edu-dkd_resnet110_resnet20_cifar100.py', cfg_options=_depth_only),
    dict(
        name='three generalists, DKD',
        config='../cifar100/dkd-generalists_resnet32-56-110_resnet20_cifar100.py'),
    dict(
        name='depth and teachers, DKD',
        config='../cifar100/edu-dkd-depth-and-teachers_resnet32-56-110_resnet20_cifar100.py'),
    dict(
        name='experts without curriculum',
        config='../cifar100/kd-experts_resnet110_resnet20_cifar100.py'),
    dict(
        name="experts, the paper's curriculum",
        config='../cifar100/edu-kd-experts_resnet110_resnet20_cifar100.py'),
]
seeds = [0, 1, 2]
budget = dict(student_flops='KD')
baselines = ['KD', 'DKD']
work_dir = 'work_dirs/compare_cifar100_resnet20'
