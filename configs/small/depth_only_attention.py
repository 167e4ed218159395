# Attention transfer at the cuts beside KD while the depth grows.
_base_ = ['./depth_only.py', '../_base_/losses/attention_at_cuts.py']

model = dict(distiller=_base_.attention)
