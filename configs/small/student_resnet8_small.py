# 20 classes of CIFAR-100: ResNet-8 alone.
_base_ = [
    '../_base_/datasets/cifar100_20classes.py',
    '../_base_/models/resnet8_small.py',
    '../_base_/experiments/student.py',
]

model = _base_.student
