# Attention transfer at the cuts beside plain KD.
_base_ = ['./kd.py', '../_base_/losses/attention_at_cuts.py']

model = dict(distiller=_base_.attention)
