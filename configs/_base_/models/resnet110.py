# ResNet-110 as generalist, trained by the recipe of the distillation literature (Tian et al. 2020).
teachers = [
    dict(
        name='resnet110',
        architecture=dict(
            type='ImageClassifier',
            backbone=dict(type='CIFARResNet', depth=110),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', num_classes='auto', in_channels=64,
                loss=dict(type='CrossEntropyLoss'))),
        ckpt='work_dirs/teachers/{dataset}_resnet110.pth',
        classes='all')
]
teacher_training = dict(
    train_cfg=dict(max_epochs=240),
    optim_wrapper=dict(clip_grad=None),
    param_scheduler=dict(type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1))
