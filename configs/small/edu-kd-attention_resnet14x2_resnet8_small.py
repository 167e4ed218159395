# Attention transfer at the cuts beside KD in three grades.
_base_ = ['./edu-kd_resnet14x2_resnet8_small.py', '../_base_/losses/attention_at_cuts.py']

model = dict(distiller=_base_.attention)
