# CIFAR-100: ResNet-18 from the zoo's ResNet-50, with KD in three grades.
_base_ = './cifar100/edu-kd_resnet50_resnet18_cifar100.py'
