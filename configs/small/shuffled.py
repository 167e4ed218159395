# The classes come in an order drawn at random.
_base_ = './edu_kd.py'

model = dict(curriculum=dict(class_order=dict(type='shuffle', seed=0)))
