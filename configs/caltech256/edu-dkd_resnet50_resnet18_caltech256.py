# Caltech-256: ResNet-18 from the zoo's ResNet-50, fine-tuned, with DKD in three grades.
_base_ = [
    '../_base_/datasets/caltech256.py',
    '../_base_/recipes/edu-dkd_resnet50_resnet18_224px.py',
]

model = dict(architecture=dict(input_shape=_base_.input_shape))
