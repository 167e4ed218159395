# Cao et al. 2022: CE + 6 (1 - Pearson correlation) of each channel, over the batch and the places.
# The student's last stage goes through a 1x1 convolution; channels are those of
# resnet18_small_images.py and resnet50_zoo_cifar100.py.
task_loss_weight = 1.0
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone.layer4')),
    teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone.layer4')),
    connectors=dict(
        align=dict(type='ConvModuleConnector', in_channel=512, out_channel=2048, act_cfg=None)),
    distill_losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=6)),
    loss_forward_mappings=dict(
        loss_pkd=dict(
            preds_S=dict(from_student=True, recorder='feature', connector='align'),
            preds_T=dict(from_student=False, recorder='feature'))))
