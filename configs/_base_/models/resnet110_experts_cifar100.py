# Three ResNet-110, one for each third of the classes.
def _expert(name, num_classes):
    return dict(
        name=name,
        architecture=dict(
            type='ImageClassifier',
            backbone=dict(type='CIFARResNet', depth=110),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=num_classes,
                in_channels=64,
                loss=dict(type='CrossEntropyLoss'))),
        ckpt=f'work_dirs/teachers/cifar100_resnet110_{name}.pth',
        classes=name)


teachers = [_expert('primary', 33), _expert('middle', 33), _expert('university', 34)]
