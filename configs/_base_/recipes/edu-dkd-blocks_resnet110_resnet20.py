# ResNet-20 from ResNet-110 grows by blocks inside its stages, with DKD; the config adds data and input
# shape.
_base_ = [
    '../models/resnet20.py',
    '../models/resnet110.py',
    '../experiments/edu_dkd_blocks.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=_base_.teachers)
