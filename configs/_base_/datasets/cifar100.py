# CIFAR-100 at 32x32 as in the distillation literature (Tian et al. 2020), normalised as MMPretrain's
# zoo does. MMPretrain downloads it to `data_root` when it is not there.
dataset_name = 'cifar100'
data_root = 'data/cifar100'
input_shape = (3, 32, 32)

data_preprocessor = dict(
    type='mmpretrain.ClsDataPreprocessor',
    num_classes='auto',
    mean=[129.304, 124.070, 112.434],  # RGB, 0 to 255
    std=[68.170, 65.392, 70.418],
    to_rgb=False)

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    # Images stay in the memory of the training device; False: a DataLoader with these workers.
    resident=dict(views_per_image=None),
    dataset=dict(
        type='CIFAR100',
        data_root=data_root,
        split='train',
        pipeline=[
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ]),
    sampler=dict(type='GradeSampler', shuffle=True))

val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    resident=True,
    dataset=dict(type='CIFAR100', data_root=data_root, split='test', pipeline=[dict(type='PackInputs')]),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='GradeAccuracy')]

test_dataloader = val_dataloader
test_evaluator = val_evaluator
