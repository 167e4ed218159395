# Folders of images, one for each class; what tools/new_config.py writes adds folders, pipelines and
# sizes. Gray images become three equal channels.
data_preprocessor = dict(
    type='mmpretrain.ClsDataPreprocessor',
    num_classes='auto',
    mean=[123.675, 116.28, 103.53],  # RGB, 0 to 255: ImageNet's
    std=[58.395, 57.12, 57.375],
    to_rgb=True)

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='stacked_batch', one_sample=True),
    sampler=dict(type='GradeSampler', shuffle=True))

val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='stacked_batch'),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = [dict(type='Accuracy', topk=(1, )), dict(type='GradeAccuracy')]

test_dataloader = val_dataloader
test_evaluator = val_evaluator
