# KD from experts, weighted as in the education distillation paper: 0.3 CE + 0.7 T^2 KL, T = 4.
# Only the CE tells the classes of different experts apart, so it weighs more than in kd.py. KL has
# the gradient of the paper's soft cross-entropy; the two differ by the entropy of the teacher.
task_loss_weight = 0.3
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),
    teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),
    distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=4, loss_weight=0.7)),
    loss_forward_mappings=dict(
        loss_kl=dict(
            preds_S=dict(from_student=True, recorder='logits'),
            preds_T=dict(from_student=False, recorder='logits'))))
