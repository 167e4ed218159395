# Zhao et al. 2022: CE + 1 TCKD + 2 NCKD, T = 4 (2 is their beta for ResNet students of the same
# family).
task_loss_weight = 1.0
# Theirs: the loss grows over the first 20 of 240 epochs. It goes into custom_hooks.
distill_warmup = dict(type='DistillWarmupHook', epochs=20)
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        logits=dict(type='ModuleOutputs', source='head.fc'),
        labels=dict(type='ModuleInputs', source='head.loss_module')),
    teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),
    distill_losses=dict(
        # Every other reduction of MMRazor's DKDLoss, 'mean' included, returns the sum over the
        # batch.
        loss_dkd=dict(type='DKDLoss', tau=4, alpha=1, beta=2, reduction='batchmean')),
    loss_forward_mappings=dict(
        loss_dkd=dict(
            preds_S=dict(from_student=True, recorder='logits'),
            preds_T=dict(from_student=False, recorder='logits'),
            gt_labels=dict(from_student=True, recorder='labels', data_idx=1))))
