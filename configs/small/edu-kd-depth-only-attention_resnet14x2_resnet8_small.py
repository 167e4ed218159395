# Attention transfer at the cuts beside KD while the depth grows.
_base_ = ['./edu-kd-depth-only_resnet14x2_resnet8_small.py', '../_base_/losses/attention_at_cuts.py']

model = dict(distiller=_base_.attention)
