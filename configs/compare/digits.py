# Education distillation beside its baselines on the handwritten digits; nothing to download:
#     python tools/compare.py configs/compare/digits.py --jobs 2
title = 'Handwritten digits (8x8 pixels), ResNet-14'
rows = [
    dict(name='student alone', config='../student_digits.py'),
    dict(name='KD', config='../kd_digits.py'),
    dict(name='edu KD', config='../edu_kd_digits.py'),
    # As many epochs as the student FLOPs of the curriculum pay for.
    dict(name='KD at equal cost', config='../kd_digits.py', budget=dict(student_flops='edu KD')),
]
seeds = [0, 1]
work_dir = 'work_dirs/compare_digits'
