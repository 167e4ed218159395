# CIFAR-100: ResNet-20 from the generalists of edu-dkd-depth-and-teachers, without a curriculum.
_base_ = './edu-dkd-depth-and-teachers_resnet32-56-110_resnet20_cifar100.py'

model = dict(curriculum=dict(grades=[dict(epochs=240, fragments=3, classes='all')]))
param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True, T_max=240, eta_min=0)
