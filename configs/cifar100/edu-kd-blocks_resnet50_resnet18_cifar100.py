# CIFAR-100: ResNet-18 from the zoo's ResNet-50 grows by blocks inside its stages, with KD. The
# curriculum was measured on ResNet-20 (docs/results.md), not on ResNet-18.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet18_small_images.py',
    '../_base_/models/resnet50_zoo_cifar100.py',
    '../_base_/experiments/edu_kd_two_blocks.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.teachers)
