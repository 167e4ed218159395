# Two grades: the first has two fragments and half of the classes.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='school', epochs=80, fragments=2, classes=1 / 2),
    dict(name='university', epochs=160, fragments=3, classes='all'),
]))
param_scheduler = dict(periods=[80, 160], restart_weights=[1, 1])
