# ResNet-20 from ResNet-14x2 grows by blocks inside its stages, with DKD; the config adds data and
# input shape.
_base_ = [
    '../models/resnet20_of_resnet14x2.py',
    '../experiments/edu_dkd_blocks.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=[_base_.generalist])
