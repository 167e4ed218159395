# All three generalists without a curriculum.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

model = dict(
    teachers=[_base_.generalist, *_base_.more_generalists],
    curriculum=dict(grades=[dict(epochs=240, fragments=3, classes='all')]))
param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True, T_max=240, eta_min=0)
