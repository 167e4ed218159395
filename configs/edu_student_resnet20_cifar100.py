# CIFAR-100: ResNet-20 alone in three grades, without distillation.
#     python tools/train.py configs/edu_student_resnet20_cifar100.py
_base_ = [
    '_base_/datasets/cifar100.py',
    '_base_/models/resnet20.py',
    '_base_/experiments/edu_student.py',
]

model = dict(architecture=dict(student=_base_.student, input_shape=_base_.input_shape))
