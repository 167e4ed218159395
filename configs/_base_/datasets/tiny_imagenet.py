# Tiny-ImageNet at its own 64x64, with the augmentation and the normalisation of mdistiller
# (mdistiller/dataset/tiny_imagenet.py). Get it by `python tools/prepare_data.py tiny_imagenet`.
dataset_name = 'tiny_imagenet'
data_root = 'data/tiny_imagenet'
input_shape = (3, 64, 64)

data_preprocessor = dict(
    type='mmpretrain.ClsDataPreprocessor',
    num_classes='auto',
    mean=[122.451, 114.266, 101.363],  # RGB, 0 to 255
    std=[58.701, 57.758, 57.681],
    to_rgb=True)

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    # Images stay in the memory of the training device; False: a DataLoader with these workers.
    resident=dict(views_per_image=None),
    dataset=dict(
        type='TinyImageNet',
        data_root=data_root,
        split='train',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='NumpyToPIL', to_rgb=True),
            dict(type='torchvision/RandomRotation', degrees=20),
            dict(type='PILToNumpy', to_bgr=True),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ]),
    sampler=dict(type='GradeSampler', shuffle=True))

val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    resident=True,
    dataset=dict(
        type='TinyImageNet',
        data_root=data_root,
        split='val',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='GradeAccuracy')]

test_dataloader = val_dataloader
test_evaluator = val_evaluator
