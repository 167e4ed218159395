# CIFAR-100: the paper's setting (arXiv 2311.13811), ResNet-20 from three ResNet-110 experts.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet20.py',
    '../_base_/models/resnet110_experts.py',
    '../_base_/experiments/edu_kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.teachers)
