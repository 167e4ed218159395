# ResNet-18 from the zoo's ResNet-50, fine-tuned, with plain DKD under a rate that stays, then decays, at
# 224x224 pixels; the config adds data.
_base_ = [
    '../models/resnet18.py',
    '../models/resnet50_zoo.py',
    '../experiments/dkd_stable.py',
]

model = dict(
    architecture=_base_.student,
    teacher=_base_.teachers[0].architecture,
    teacher_ckpt=_base_.teachers[0].ckpt)
