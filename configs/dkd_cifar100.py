# CIFAR-100: ResNet-18 from the zoo's ResNet-50, with plain DKD.
_base_ = './cifar100/dkd_resnet50_resnet18_cifar100.py'
