# DKD for a student that grows by blocks inside its stages; the config adds data, student and teachers. Blocks
# begin as copies of those before them: of 15 recipes the best one in docs/results.md.
_base_ = [
    '../schedules/sgd.py', '../curricula/growing_blocks.py', '../distillers/dkd.py',
    '../default_runtime.py'
]

model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent', fragments='blocks', new_blocks='copy'),
    distiller={{_base_.distiller}},
    task_loss_weight={{_base_.task_loss_weight}},
    curriculum={{_base_.curriculum}})
custom_hooks = [dict(type='GradeSchedulerHook'), {{_base_.distill_warmup}}]
# DKDLoss takes the logarithm of a softmax: one step too far makes it infinite.
optim_wrapper = dict(clip_grad=dict(max_norm=5))
