# Caltech-256: ResNet-18 from the zoo's ResNet-50, fine-tuned, with plain KD.
_base_ = [
    '../_base_/datasets/caltech256.py',
    '../_base_/recipes/kd_resnet50_resnet18_224px.py',
]
