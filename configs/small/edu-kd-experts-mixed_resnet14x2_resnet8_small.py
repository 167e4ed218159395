# The paper's grades and schedule, but batches that mix the samples of all teachers.
_base_ = './edu-kd-experts_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='primary', epochs=150, fragments=1, classes=1 / 3, teachers=['primary']),
    dict(name='middle', epochs=30, fragments=2, classes=1 / 3, teachers=['middle'], optimizer='reset'),
    dict(name='university', epochs=60, fragments=3, classes='all', teachers=['university'],
         optimizer='reset'),
]))
