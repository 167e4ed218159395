# Tiny-ImageNet: ResNet-20 from ResNet-110 grows by blocks inside its stages, with KD. The
# curriculum was measured on smaller images (docs/results.md), not at this size.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/models/resnet20.py',
    '../_base_/models/resnet110.py',
    '../_base_/experiments/edu_kd_blocks.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.teachers)
