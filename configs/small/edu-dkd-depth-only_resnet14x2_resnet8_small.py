# Only the depth grows, under DKD.
_base_ = './edu-dkd_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='primary', epochs=60, fragments=1, classes='all'),
    dict(name='middle', epochs=60, fragments=2, classes=0),
    dict(name='university', epochs=120, fragments=3, classes=0),
]))
