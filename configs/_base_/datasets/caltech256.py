# Caltech-256 at 224x224 from images of 256 (Zeiler and Fergus 2014), augmented as ImageNet is. Get it
# by `python tools/prepare_data.py caltech256`; datasets/caltech256.py of the package tells the split.
dataset_name = 'caltech256'
data_root = 'data/caltech256'
input_shape = (3, 224, 224)

data_preprocessor = dict(
    type='mmpretrain.ClsDataPreprocessor',
    num_classes='auto',
    mean=[123.675, 116.28, 103.53],  # RGB, 0 to 255: ImageNet's
    std=[58.395, 57.12, 57.375],
    to_rgb=True)

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='stacked_batch', one_sample=True),
    dataset=dict(
        type='Caltech256',
        data_root=data_root,
        split='train',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomResizedCrop', scale=224),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ]),
    sampler=dict(type='GradeSampler', shuffle=True))

val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='stacked_batch'),
    dataset=dict(
        type='Caltech256',
        data_root=data_root,
        split='test',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='ResizeEdge', scale=256, edge='short'),
            dict(type='CenterCrop', crop_size=224),
            dict(type='PackInputs'),
        ]),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='GradeAccuracy')]

test_dataloader = val_dataloader
test_evaluator = val_evaluator
