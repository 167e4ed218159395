# Food-101: ResNet-18 from the zoo's ResNet-50, fine-tuned, with plain DKD.
_base_ = [
    '../_base_/datasets/food101.py',
    '../_base_/models/resnet18.py',
    '../_base_/models/resnet50_zoo.py',
    '../_base_/experiments/dkd.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.teachers[0].architecture,
    teacher_ckpt=_base_.teachers[0].ckpt)
