# Food-101 at 32x32 pixels, augmented as CIFAR-100 is, for networks and budgets that a CPU can pay.
_base_ = './food101.py'

dataset_name = 'food101_32px'
input_shape = (3, 32, 32)

train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(_delete_=True, type='pseudo_collate'),
    resident=dict(views_per_image=None),
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='ResizeEdge', scale=32, edge='short', interpolation='area'),
            dict(type='CenterCrop', crop_size=32),
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ]))

val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(_delete_=True, type='pseudo_collate'),
    resident=True,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='ResizeEdge', scale=32, edge='short', interpolation='area'),
            dict(type='CenterCrop', crop_size=32),
            dict(type='PackInputs'),
        ]))

test_dataloader = val_dataloader
