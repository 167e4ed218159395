# Only the classes grow: the whole student from the start.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='primary', epochs=60, fragments=3, classes=1 / 3),
    dict(name='middle', epochs=60, fragments=3, classes=1 / 3),
    dict(name='university', epochs=120, fragments=3, classes='all'),
]))
