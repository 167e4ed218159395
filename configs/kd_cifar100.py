# CIFAR-100: ResNet-18 from the zoo's ResNet-50, with plain KD.
_base_ = './cifar100/kd_resnet50_resnet18_cifar100.py'
