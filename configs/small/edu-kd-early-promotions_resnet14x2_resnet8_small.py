# Early promotions: three quarters of the time are left for the last grade.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='primary', epochs=30, fragments=1, classes=1 / 3),
    dict(name='middle', epochs=30, fragments=2, classes=1 / 3),
    dict(name='university', epochs=180, fragments=3, classes='all'),
]))
param_scheduler = dict(periods=[30, 30, 180])
