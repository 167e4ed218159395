# The student of edu-kd-experts on its own: plain MMPretrain.
_base_ = [
    '../_base_/datasets/digits.py', '../_base_/models/resnet_digits.py', '../_base_/schedules/sgd_digits.py',
    '../_base_/schedules/cosine_30e.py', '../_base_/default_runtime.py'
]

model = {{_base_.student}}
train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
# The class groups are those that the curriculum adds grade by grade.
val_evaluator = [
    dict(type='Accuracy', topk=(1, )),
    dict(type='GradeAccuracy', groups=dict(primary=[0, 1, 2, 3], middle=[4, 5, 6], university=[7, 8, 9]))
]
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=15))  # an epoch has 46 batches
