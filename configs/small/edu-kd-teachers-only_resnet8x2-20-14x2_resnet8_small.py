# Only the faculty grows: a second and a third generalist join.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

model = dict(teachers=[_base_.generalist, *_base_.more_generalists], curriculum=dict(grades=[
    dict(name='primary', epochs=60, fragments=3, classes='all', teachers=['resnet8x2']),
    dict(name='middle', epochs=60, fragments=3, classes=0, teachers=['resnet20']),
    dict(name='university', epochs=120, fragments=3, classes=0, teachers=['resnet14x2']),
]))
