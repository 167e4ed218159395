# A ResNet-14 of three narrow stages for 8x8 images: the student, with fewer classes its three
# experts, and twice as wide a generalist.
def _network(num_classes, width=16):
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR',
            depth=18,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2, ),
            stem_channels=width,
            base_channels=width),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=num_classes,
            in_channels=4 * width,
            loss=dict(type='CrossEntropyLoss')))


def _expert(name, num_classes):
    return dict(
        name=name,
        architecture=_network(num_classes),
        ckpt=f'work_dirs/teachers/digits_{name}.pth',
        classes=name)


student = _network(10)
teachers = [_expert('primary', 4), _expert('middle', 3), _expert('university', 3)]
generalist = dict(architecture=_network(10, width=32), ckpt='work_dirs/teachers/digits_generalist.pth')
# A teacher trains by the student's recipe, but one cosine long, except for what stands here.
teacher_training = dict(train_cfg=dict(max_epochs=8))
