# CIFAR-100: ResNet-18 from the zoo's ResNet-50 grows by blocks inside its stages, with DKD.
_base_ = './cifar100/edu-dkd-blocks_resnet50_resnet18_cifar100.py'
