# The handwritten digits that come with scikit-learn: 8x8 pixels, ten classes, nothing to download.
dataset_name = 'digits'

data_preprocessor = dict(
    type='mmpretrain.ClsDataPreprocessor',
    num_classes=10,
    mean=[77.8] * 3,  # 0 to 255
    std=[95.9] * 3,
    to_rgb=False)

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    # Images stay in the memory of the training device; False: a DataLoader with these workers.
    resident=dict(views_per_image=None),
    dataset=dict(
        type='Digits',
        split='train',
        pipeline=[dict(type='RandomCrop', crop_size=8, padding=1), dict(type='PackInputs')]),
    sampler=dict(type='GradeSampler', shuffle=True))

val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    resident=True,
    dataset=dict(type='Digits', split='test', pipeline=[dict(type='PackInputs')]),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = [dict(type='Accuracy', topk=(1, )), dict(type='GradeAccuracy')]

test_dataloader = val_dataloader
test_evaluator = val_evaluator
