# Caltech-256: ResNet-18 from the zoo's ResNet-50, fine-tuned, with plain DKD under a rate that stays, then
# decays.
_base_ = [
    '../_base_/datasets/caltech256.py',
    '../_base_/recipes/dkd-stable_resnet50_resnet18_224px.py',
]
