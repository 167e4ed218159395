# CIFAR-100: ResNet-18 alone in three grades, without distillation.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet18_small_images.py',
    '../_base_/experiments/edu_student.py',
]

model = dict(architecture=dict(student=_base_.student, input_shape=_base_.input_shape))
