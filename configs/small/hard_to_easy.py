# The classes of which the generalist is least sure come first.
_base_ = './edu_kd.py'

model = dict(curriculum=dict(
    class_order=dict(type='confidence', teacher='resnet14x2', hardest_first=True)))
