# CIFAR-100: the paper's setting, ResNet-20 from three ResNet-110 experts.
_base_ = './cifar100/edu-kd-experts_resnet110_resnet20_cifar100.py'
