# Shu et al. 2021: CE + 50 T^2 KL between the softmaxes of each channel over the places, T = 4, the
# weight that they give feature maps. The student's last stage goes through a 1x1 convolution;
# channels are those of resnet18_small_images.py and resnet50_zoo_cifar100.py.
task_loss_weight = 1.0
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone.layer4')),
    teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone.layer4')),
    connectors=dict(
        align=dict(type='ConvModuleConnector', in_channel=512, out_channel=2048, act_cfg=None)),
    distill_losses=dict(loss_cwd=dict(type='ChannelWiseDivergence', tau=4, loss_weight=50)),
    loss_forward_mappings=dict(
        loss_cwd=dict(
            preds_S=dict(from_student=True, recorder='feature', connector='align'),
            preds_T=dict(from_student=False, recorder='feature'))))
