# ResNet-50 of MMPretrain's zoo as generalist, fine-tuned from its ImageNet weights (76.55 % top-1
# there). Without internet:
#     --cfg-options teacher_training.model.backbone.init_cfg.checkpoint=FILE (a local copy)
#     --cfg-options teacher_training.model.backbone.init_cfg=None (from scratch)
teachers = [
    dict(
        name='resnet50',
        architecture=dict(
            type='ImageClassifier',
            backbone=dict(type='ResNet', depth=50, num_stages=4, out_indices=(3, ), style='pytorch'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', num_classes='auto', in_channels=2048,
                loss=dict(type='CrossEntropyLoss'))),
        ckpt='work_dirs/teachers/{dataset}_resnet50.pth',
        classes='all')
]
teacher_training = dict(
    model=dict(
        backbone=dict(
            init_cfg=dict(
                type='Pretrained',
                checkpoint='https://download.openmmlab.com/mmclassification/v0/resnet/'
                'resnet50_8xb32_in1k_20210831-ea4938fc.pth',
                prefix='backbone'))),
    train_cfg=dict(max_epochs=60),
    param_scheduler=dict(type='CosineAnnealingLR', by_epoch=True, T_max=60, eta_min=0),
    optim_wrapper=dict(optimizer=dict(lr=0.01), clip_grad=None))
