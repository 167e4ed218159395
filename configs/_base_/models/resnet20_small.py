# ResNet-20, three blocks a stage, as student of the teachers of resnet8_small.py.
_base_ = './resnet8_small.py'

student = dict(backbone=dict(depth=20))
