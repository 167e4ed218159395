# MMPretrain's ResNet-50 for small images as generalist, where the zoo has no checkpoint.
teachers = [
    dict(
        name='resnet50',
        architecture=dict(
            type='ImageClassifier',
            backbone=dict(type='ResNet_CIFAR', depth=50, num_stages=4, out_indices=(3, ), style='pytorch'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', num_classes='auto', in_channels=2048,
                loss=dict(type='CrossEntropyLoss'))),
        ckpt='work_dirs/teachers/{dataset}_resnet50.pth',
        classes='all')
]
teacher_training = dict(
    train_cfg=dict(max_epochs=240),
    optim_wrapper=dict(clip_grad=None),
    param_scheduler=dict(type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1))
