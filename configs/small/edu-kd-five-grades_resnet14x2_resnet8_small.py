# Five grades: a fifth of the classes each, a new fragment every second one.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='first', epochs=40, fragments=1, classes=1 / 5),
    dict(name='second', epochs=40, fragments=1, classes=1 / 5),
    dict(name='third', epochs=40, fragments=2, classes=1 / 5),
    dict(name='fourth', epochs=40, fragments=2, classes=1 / 5),
    dict(name='fifth', epochs=80, fragments=3, classes='all'),
]))
param_scheduler = dict(periods=[40, 40, 40, 40, 80], restart_weights=[1, 1, 1, 1, 1])
