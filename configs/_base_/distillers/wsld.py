# Zhou et al. 2021: CE + 2.5 x KD weighted by sample, T = 2.
task_loss_weight = 1.0
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        logits=dict(type='ModuleOutputs', source='head.fc'),
        labels=dict(type='ModuleInputs', source='head.loss_module')),
    teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),
    distill_losses=dict(loss_wsld=dict(type='WSLD', tau=2, loss_weight=2.5, num_classes=100)),
    loss_forward_mappings=dict(
        loss_wsld=dict(
            student=dict(from_student=True, recorder='logits'),
            teacher=dict(from_student=False, recorder='logits'),
            gt_labels=dict(from_student=True, recorder='labels', data_idx=1))))
