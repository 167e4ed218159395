# As edu-kd-experts-three-grades, but batches with samples of one teacher at a time.
_base_ = './edu-kd-experts-three-grades_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='primary', epochs=60, fragments=1, classes=1 / 3, teachers=['primary'],
         samples='by_teacher'),
    dict(name='middle', epochs=60, fragments=2, classes=1 / 3, teachers=['middle'],
         samples='by_teacher'),
    dict(name='university', epochs=120, fragments=3, classes='all', teachers=['university'],
         samples='by_teacher'),
]))
