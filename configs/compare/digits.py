# Education distillation beside its baselines on the handwritten digits; nothing to download:
#     python tools/compare.py configs/compare/digits.py --jobs 2
title = 'Handwritten digits (8x8 pixels), ResNet-14'
rows = [
    dict(name='student alone', config='../digits/student_resnet14_digits.py'),
    dict(name='KD', config='../digits/kd_resnet14x2_resnet14_digits.py'),
    dict(name='edu KD', config='../digits/edu-kd-experts_resnet14_resnet14_digits.py'),
    # As many epochs as the student FLOPs of the curriculum pay for.
    dict(
        name='KD at equal cost', config='../digits/kd_resnet14x2_resnet14_digits.py',
        budget=dict(student_flops='edu KD')),
]
seeds = [0, 1]
work_dir = 'work_dirs/compare_digits'
