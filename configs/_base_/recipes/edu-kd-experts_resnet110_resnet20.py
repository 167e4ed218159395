# The paper's curriculum, ResNet-20 from three ResNet-110 experts; the config adds data and input
# shape.
_base_ = [
    '../models/resnet20.py',
    '../models/resnet110_experts.py',
    '../experiments/edu_kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=_base_.teachers)
