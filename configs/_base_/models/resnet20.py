# ResNet-20 of the CIFAR literature (He et al. 2016, section 4.2): 0.278 M parameters at 100 classes.
student = dict(
    type='ImageClassifier',
    backbone=dict(type='CIFARResNet', depth=20),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes='auto', in_channels=64, loss=dict(type='CrossEntropyLoss')))
