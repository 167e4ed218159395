# ResNet-32, ResNet-56 and ResNet-110 as generalists, all trained like resnet110.py.
_base_ = './resnet110.py'


def _generalist(like, depth):
    architecture = dict(like['architecture'], backbone=dict(type='CIFARResNet', depth=depth))
    ckpt = like['ckpt'].replace('resnet110', f'resnet{depth}')
    return dict(like, name=f'resnet{depth}', architecture=architecture, ckpt=ckpt)


teachers = [_generalist(_base_.teachers[0], 32), _generalist(_base_.teachers[0], 56), _base_.teachers[0]]
