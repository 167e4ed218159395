# MMPretrain's model zoo: resnet50_8xb16_cifar100, 79.90 % top-1.
teachers = [
    dict(
        name='resnet50',
        architecture=dict(cfg_path='mmpretrain::resnet/resnet50_8xb16_cifar100.py', pretrained=False),
        ckpt='https://download.openmmlab.com/mmclassification/v0/resnet/'
        'resnet50_b16x8_cifar100_20210528-67b58a1b.pth',
        classes='all')
]
