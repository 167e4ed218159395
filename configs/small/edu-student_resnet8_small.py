# 20 classes of CIFAR-100: ResNet-8 alone in three grades, without distillation.
_base_ = [
    '../_base_/datasets/cifar100_20classes.py',
    '../_base_/models/resnet8_small.py',
    '../_base_/experiments/edu_student.py',
]

model = dict(architecture=dict(student=_base_.student, input_shape=_base_.input_shape))
