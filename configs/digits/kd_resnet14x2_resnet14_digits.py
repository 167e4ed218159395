# Plain MMRazor: the student of edu-kd-experts from a generalist twice as wide, which is trained on
# the spot.
_base_ = ['student_resnet14_digits.py', '../_base_/distillers/kd.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='SingleTeacherDistill',
    # MMRazor has no weight for the task loss: it goes into the student's head.
    architecture=dict(
        _base_.student,
        _scope_='mmpretrain',
        head=dict(
            _base_.student.head, loss=dict(type='CrossEntropyLoss', loss_weight=_base_.task_loss_weight))),
    teacher=dict(_base_.generalist.architecture, _scope_='mmpretrain'),
    teacher_ckpt=_base_.generalist.ckpt,
    distiller=_base_.distiller)
