# Each promotion also forgets the optimizer's momentum.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='primary', epochs=60, fragments=1, classes=1 / 3),
    dict(name='middle', epochs=60, fragments=2, classes=1 / 3, optimizer='reset'),
    dict(name='university', epochs=120, fragments=3, classes='all', optimizer='reset'),
]))
