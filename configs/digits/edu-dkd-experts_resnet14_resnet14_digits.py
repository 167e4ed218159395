# edu-kd-experts with decoupled knowledge distillation; the experts are the same files.
_base_ = [
    '../_base_/datasets/digits.py', '../_base_/models/resnet_digits.py', '../_base_/schedules/sgd_digits.py',
    '../_base_/curricula/digits_3grades.py', '../_base_/distillers/dkd.py', '../_base_/default_runtime.py'
]

model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent', student={{_base_.student}}),
    teachers={{_base_.teachers}},
    distiller={{_base_.distiller}},
    task_loss_weight={{_base_.task_loss_weight}},
    curriculum={{_base_.curriculum}})
custom_hooks = [dict(type='GradeSchedulerHook')]
default_hooks = dict(logger=dict(interval=15))  # an epoch has 18 to 46 batches
# DKDLoss takes the logarithm of a softmax: one step too far makes it infinite.
optim_wrapper = dict(clip_grad=dict(max_norm=5))
