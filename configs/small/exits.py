# The references of earlier grades stay as auxiliary exits.
_base_ = './edu_kd.py'

model = dict(architecture=dict(exit_loss_weight=0.3))
