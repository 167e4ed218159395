# ResNet-18 for images of 224x224 pixels: 11.2 M parameters.
student = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, num_stages=4, out_indices=(3, ), style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead', num_classes='auto', in_channels=512, loss=dict(type='CrossEntropyLoss')))
