# ResNet-8 of the CIFAR literature (He et al. 2016, section 4.2), one block a stage, as student; a
# ResNet-14 of twice its width as generalist, two more generalists, and the ResNet-14 three times
# as experts, one for the classes of each grade.
def _network(depth, width=16):
    return dict(
        type='ImageClassifier',
        backbone=dict(type='CIFARResNet', depth=depth, base_channels=width),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead', num_classes='auto', in_channels=4 * width,
            loss=dict(type='CrossEntropyLoss')))


def _teacher(name, depth, width, file, **kwargs):
    return dict(
        name=name,
        architecture=_network(depth, width),
        ckpt='work_dirs/teachers/{dataset}_' + file + '.pth',
        **kwargs)


student = _network(8)
generalist = _teacher('resnet14x2', 14, 32, 'resnet14x2')
more_generalists = [_teacher('resnet20', 20, 16, 'resnet20'), _teacher('resnet8x2', 8, 32, 'resnet8x2')]
experts = [
    _teacher(name, 14, 32, f'resnet14x2_{name}', classes=name)
    for name in ('primary', 'middle', 'university')
]
# Teachers learn from all images, the student may have fewer, and in one way under each student's schedule.
teacher_training = dict(
    train_cfg=dict(max_epochs=30),
    param_scheduler=dict(type='CosineAnnealingLR', by_epoch=True, T_max=30, eta_min=0),
    train_dataloader=dict(dataset=dict(samples_per_class=None)),
    optim_wrapper=dict(clip_grad=None))
