# The baseline of edu_kd.py but for its schedule: plain MMRazor, the same loss and optimizer, but all
# classes and the whole student from the start.
_base_ = ['../schedules/sgd.py', '../distillers/kd.py', '../default_runtime.py']

model = dict(
    _scope_='mmrazor',
    type='SingleTeacherDistill',
    # MMRazor has no weight for the task loss: it goes into the student's head.
    architecture=dict(
        _scope_='mmpretrain', head=dict(loss=dict(loss_weight={{_base_.task_loss_weight}}))),
    teacher=dict(_scope_='mmpretrain'),
    distiller={{_base_.distiller}})
