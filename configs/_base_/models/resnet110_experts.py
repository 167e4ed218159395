# Three ResNet-110, one for the classes of each grade, trained by the run's own recipe.
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
