# CIFAR-100: ResNet-18 from the zoo's ResNet-50, with DKD in three grades.
_base_ = './cifar100/edu-dkd_resnet50_resnet18_cifar100.py'
