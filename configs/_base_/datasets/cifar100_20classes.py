# A part of CIFAR-100 that trains in minutes on a CPU: its first 20 classes (apple to cattle), 500
# images each, at 16x16 pixels. `train_dataloader.dataset.samples_per_class` takes fewer.
_base_ = './cifar100.py'

dataset_name = 'cifar100_20classes'
input_shape = (3, 16, 16)

train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='ClassSubset',
        classes=list(range(20)),
        samples_per_class=None,
        dataset=dict(
            type='CIFAR100',
            data_root={{_base_.data_root}},
            split='train',
            pipeline=[
                dict(type='Resize', scale=(16, 16), interpolation='area'),
                dict(type='RandomCrop', crop_size=16, padding=2),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='PackInputs'),
            ])))

val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='ClassSubset',
        classes=list(range(20)),
        dataset=dict(
            type='CIFAR100',
            data_root={{_base_.data_root}},
            split='test',
            pipeline=[
                dict(type='Resize', scale=(16, 16), interpolation='area'),
                dict(type='PackInputs'),
            ])))

test_dataloader = val_dataloader
