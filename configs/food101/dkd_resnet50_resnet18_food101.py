# Food-101: ResNet-18 from the zoo's ResNet-50, fine-tuned, with plain DKD.
_base_ = [
    '../_base_/datasets/food101.py',
    '../_base_/recipes/dkd_resnet50_resnet18_224px.py',
]
