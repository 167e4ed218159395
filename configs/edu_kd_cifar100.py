# CIFAR-100: ResNet-18 from the zoo's ResNet-50 grows by blocks inside its stages, with KD.
_base_ = './cifar100/edu-kd-blocks_resnet50_resnet18_cifar100.py'
