# MMPretrain's ResNet-18 for small images (wide stages, no max pooling): 11.2 M parameters.
student = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, num_stages=4, out_indices=(3, ), style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead', num_classes='auto', in_channels=512, loss=dict(type='CrossEntropyLoss')))
