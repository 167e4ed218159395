# All three generalists as one ensemble, without a curriculum and under DKD, with the schedule of dkd-stable.
_base_ = './edu-dkd-blocks_resnet14x2_resnet20_small.py'

model = dict(
    teachers=[_base_.generalist, *_base_.more_generalists],
    teacher_ensemble=True,
    curriculum=dict(grades=[dict(epochs=240, fragments=1, classes='all')]))
param_scheduler = [_base_.warm_up, dict(_base_.decay, begin=96, end=240)]
