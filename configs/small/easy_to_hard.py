# The classes come in the order of how sure the generalist is of them.
_base_ = './edu_kd.py'

model = dict(curriculum=dict(class_order=dict(type='confidence', teacher='resnet14x2')))
