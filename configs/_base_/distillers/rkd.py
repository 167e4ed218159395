# Park et al. 2019 with the weights of RepDistiller (Tian et al. 2020): CE + 25 distance-wise + 50
# angle-wise relations of the pooled features, whose widths may differ. Asleep before the last
# grade, which is the first that has these features.
task_loss_weight = 1.0
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(feature=dict(type='ModuleOutputs', source='neck.gap')),
    teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='neck.gap')),
    distill_losses=dict(
        loss_distance=dict(type='DistanceWiseRKD', loss_weight=25, with_l2_norm=False),
        loss_angle=dict(type='AngleWiseRKD', loss_weight=50, with_l2_norm=False)),
    loss_forward_mappings=dict(
        loss_distance=dict(
            preds_S=dict(from_student=True, recorder='feature'),
            preds_T=dict(from_student=False, recorder='feature')),
        loss_angle=dict(
            preds_S=dict(from_student=True, recorder='feature'),
            preds_T=dict(from_student=False, recorder='feature'))))
