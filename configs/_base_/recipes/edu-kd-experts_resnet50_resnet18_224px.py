# The paper's curriculum, ResNet-18 from three ResNet-50 experts, at 224x224 pixels; the config
# adds data and input shape.
_base_ = [
    '../models/resnet18.py',
    '../models/resnet50_experts.py',
    '../experiments/edu_kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student),
    teachers=_base_.teachers)
