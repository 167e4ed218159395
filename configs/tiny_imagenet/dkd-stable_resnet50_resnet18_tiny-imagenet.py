# Tiny-ImageNet: ResNet-18 from ResNet-50, with plain DKD under a rate that stays, then decays.
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/models/resnet18_small_images.py',
    '../_base_/models/resnet50_small_images.py',
    '../_base_/experiments/dkd_stable.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.teachers[0].architecture,
    teacher_ckpt=_base_.teachers[0].ckpt)
