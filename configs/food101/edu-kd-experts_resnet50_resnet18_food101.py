# Food-101: the paper's curriculum (arXiv 2311.13811), ResNet-18 from three ResNet-50 experts.
_base_ = [
    '../_base_/datasets/food101.py',
    '../_base_/models/resnet18.py',
    '../_base_/models/resnet50_experts.py',
    '../_base_/experiments/edu_kd_experts.py',
]

model = dict(
    architecture=dict(student=_base_.student, input_shape=_base_.input_shape),
    teachers=_base_.teachers)
