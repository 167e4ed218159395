# A student alone, as MMPretrain trains it, by the optimizer and the epochs of the other experiments.
_base_ = ['../schedules/sgd.py', '../schedules/cosine_240e.py', '../default_runtime.py']
