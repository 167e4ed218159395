# Three ResNet-110, one for the classes of each grade, trained by the paper's recipe.
teachers = [
    dict(
        name=name,
        architecture=dict(
            type='ImageClassifier',
            backbone=dict(type='CIFARResNet', depth=110),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', num_classes='auto', in_channels=64,
                loss=dict(type='CrossEntropyLoss'))),
        ckpt='work_dirs/teachers/{dataset}_resnet110_' + name + '.pth',
        classes=name) for name in ('primary', 'middle', 'university')
]
# The paper's recipe, whatever the run's: an expert would have one cosine else.
teacher_training = dict(
    train_cfg=dict(max_epochs=240),
    param_scheduler=dict(type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1))
