# KD on standardized logits. Sun et al. 2024 (arXiv 2403.01427): 0.1 CE + 9 T^2 KL, base temperature 2.
_base_ = './kd.py'
task_loss_weight = 0.1
distiller = dict(
    connectors=dict(student=dict(type='LogitStandardization'), teacher=dict(type='LogitStandardization')),
    distill_losses=dict(loss_kl=dict(tau=2, loss_weight=9)),
    loss_forward_mappings=dict(
        loss_kl=dict(preds_S=dict(connector='student'), preds_T=dict(connector='teacher'))))
