# Three ResNet-50, one for the classes of each grade, trained from scratch by the paper's recipe.
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
# The paper's recipe, whatever the run's: an expert would have one cosine else.
teacher_training = dict(
    train_cfg=dict(max_epochs=240),
    param_scheduler=dict(type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1))
