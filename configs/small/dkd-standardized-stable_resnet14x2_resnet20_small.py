# 20 classes of CIFAR-100: dkd-stable on standardized logits. Sun et al. 2024 (arXiv 2403.01427): nine times
# the loss, base temperature 2.
_base_ = './dkd-stable_resnet14x2_resnet20_small.py'

model = dict(
    distiller=dict(
        connectors=dict(
            student=dict(type='LogitStandardization'), teacher=dict(type='LogitStandardization')),
        distill_losses=dict(loss_dkd=dict(tau=2, loss_weight=9)),
        loss_forward_mappings=dict(
            loss_dkd=dict(preds_S=dict(connector='student'), preds_T=dict(connector='teacher')))))
