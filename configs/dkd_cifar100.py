# The baseline of edu_dkd_cifar100.py: plain MMRazor, the same student, teacher, loss, optimizer
# and epochs, but all classes and the whole student from the start, under one cosine.
#     python tools/train.py configs/dkd_cifar100.py
_base_ = [
    '_base_/datasets/cifar100.py',
    '_base_/models/resnet18_cifar100.py',
    '_base_/models/resnet50_teacher_cifar100.py',
    '_base_/schedules/sgd_cifar100.py',
    '_base_/schedules/cosine_240e.py',
    '_base_/distillers/dkd.py',
    '_base_/default_runtime.py',
]

model = dict(
    _scope_='mmrazor',
    type='SingleTeacherDistill',
    # MMRazor has no weight for the task loss: it goes into the student's head.
    architecture=dict(
        _base_.student,
        _scope_='mmpretrain',
        head=dict(
            _base_.student.head, loss=dict(type='CrossEntropyLoss', loss_weight=_base_.task_loss_weight))),
    teacher=_base_.generalist.architecture,
    teacher_ckpt=_base_.generalist.ckpt,
    distiller=_base_.distiller)

train_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=True))
val_evaluator = [dict(type='Accuracy', topk=(1, 5))]
test_evaluator = val_evaluator
custom_hooks = [_base_.distill_warmup]
# DKDLoss takes the logarithm of a softmax: one step too far makes it infinite.
optim_wrapper = dict(clip_grad=dict(max_norm=5))
