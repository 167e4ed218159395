# The experts of the paper's curriculum with the grades of edu-kd, each of which restarts the
# learning rate.
_base_ = './edu-kd-experts_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(grades=[
    dict(name='primary', epochs=60, fragments=1, classes=1 / 3, teachers=['primary']),
    dict(name='middle', epochs=60, fragments=2, classes=1 / 3, teachers=['middle']),
    dict(name='university', epochs=120, fragments=3, classes='all', teachers=['university']),
]))
param_scheduler = dict(
    _delete_=True, type='CosineRestartLR', by_epoch=True, periods=[60, 60, 120],
    restart_weights=[1, 1, 1], eta_min=0)
