# The classes come in an order drawn at random.
_base_ = './edu-kd_resnet14x2_resnet8_small.py'

model = dict(curriculum=dict(class_order=dict(type='shuffle', seed=0)))
