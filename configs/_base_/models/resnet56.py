# ResNet-56 as generalist: 71.2 % on CIFAR-100 by the file in weights/ of the repository. Without it, or on
# other data, it is trained like resnet110.py.
_base_ = './resnet110.py'

_teacher = _base_.teachers[0]
teachers = [
    dict(
        _teacher,
        name='resnet56',
        architecture=dict(_teacher['architecture'], backbone=dict(type='CIFARResNet', depth=56)),
        ckpt='weights/resnet56_{dataset}.pth')
]
