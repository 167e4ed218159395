# CIFAR-100: ResNet-20 from the generalists of edu_dkd_generalists_resnet20_cifar100.py, without a
# curriculum.
#     python tools/train.py configs/dkd_generalists_resnet20_cifar100.py --train-teachers
_base_ = './edu_dkd_generalists_resnet20_cifar100.py'

model = dict(curriculum=dict(grades=[dict(epochs=240, fragments=3, classes='all')]))
param_scheduler = dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True, T_max=240, eta_min=0)
