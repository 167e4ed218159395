# Romero et al. 2015, in one stage as in RepDistiller (Tian et al. 2020): CE + 100 MSE between the
# features of the second stages, the student's through a 1x1 convolution. Channels are those of
# resnet18_small_images.py and resnet50_zoo_cifar100.py; for other networks change source,
# in_channel and out_channel.
task_loss_weight = 1.0
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(hint=dict(type='ModuleOutputs', source='backbone.layer2')),
    teacher_recorders=dict(hint=dict(type='ModuleOutputs', source='backbone.layer2')),
    connectors=dict(
        regressor=dict(
            type='ConvModuleConnector', in_channel=128, out_channel=512, norm_cfg=dict(type='BN'))),
    distill_losses=dict(loss_hint=dict(type='L2Loss', normalize=False, div_element=True, loss_weight=100)),
    loss_forward_mappings=dict(
        loss_hint=dict(
            s_feature=dict(from_student=True, recorder='hint', connector='regressor'),
            t_feature=dict(from_student=False, recorder='hint'))))
