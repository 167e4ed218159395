# Attention transfer at the cuts beside KD in three grades.
_base_ = ['./edu_kd.py', '../_base_/losses/attention_at_cuts.py']

model = dict(distiller=_base_.attention)
