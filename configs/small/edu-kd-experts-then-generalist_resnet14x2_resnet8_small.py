# Each grade brings an expert, and the last one the generalist as well.
_base_ = './edu-kd-experts-three-grades_resnet14x2_resnet8_small.py'

model = dict(teachers=[_base_.generalist, *_base_.experts], curriculum=dict(grades=[
    dict(name='primary', epochs=60, fragments=1, classes=1 / 3, teachers=['primary']),
    dict(name='middle', epochs=60, fragments=2, classes=1 / 3, teachers=['middle']),
    dict(name='university', epochs=120, fragments=3, classes='all', teachers=['university', 'resnet14x2']),
]))
