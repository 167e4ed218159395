# The baseline of edu_kd.py: plain MMRazor, the same loss, optimizer and epochs, but all classes and
# the whole student from the start, under one cosine; the config adds data, student and teacher.
_base_ = [
    '../schedules/sgd.py', '../schedules/cosine_240e.py', '../distillers/kd.py', '../default_runtime.py'
]

model = dict(
    _scope_='mmrazor',
    type='SingleTeacherDistill',
    # MMRazor has no weight for the task loss: it goes into the student's head.
    architecture=dict(
        _scope_='mmpretrain', head=dict(loss=dict(loss_weight={{_base_.task_loss_weight}}))),
    teacher=dict(_scope_='mmpretrain'),
    distiller={{_base_.distiller}})
