# Three ResNet-50, one for the classes of each grade, trained from scratch by the run's own recipe.
teachers = [
    dict(
        name=name,
        architecture=dict(
            type='ImageClassifier',
            backbone=dict(type='ResNet', depth=50, num_stages=4, out_indices=(3, ), style='pytorch'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', num_classes='auto', in_channels=2048,
                loss=dict(type='CrossEntropyLoss'))),
        ckpt='work_dirs/teachers/{dataset}_resnet50_' + name + '.pth',
        classes=name) for name in ('primary', 'middle', 'university')
]
