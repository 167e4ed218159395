# CIFAR-100: ResNet-20 from ResNet-56 grows by blocks inside its stages, with DKD. Measured at this size at
# the cost of 12 epochs of DKD, from the ResNet-32 of weights/, and from ResNet-56, where it gains nothing, at
# that of 60 (docs/results.md), not in 240 epochs.
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/models/resnet20.py',
    '../_base_/models/resnet56.py',
    '../_base_/experiments/edu_dkd_blocks.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.teachers)
