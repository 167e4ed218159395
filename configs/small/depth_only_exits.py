# Only the depth grows, and the references of earlier grades stay as auxiliary exits.
_base_ = './depth_only.py'

model = dict(architecture=dict(exit_loss_weight=0.3))
