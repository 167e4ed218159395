# Attention transfer (distillers/at.py) at three stages beside the losses of any distiller.
# A config that uses this file says
#     model = dict(distiller=_base_.attention)
_stages = ('layer1', 'layer2', 'layer3')
attention = dict(
    student_recorders={stage: dict(type='ModuleOutputs', source=f'backbone.{stage}') for stage in _stages},
    teacher_recorders={stage: dict(type='ModuleOutputs', source=f'backbone.{stage}') for stage in _stages},
    distill_losses={f'loss_at_{stage}': dict(type='ATLoss', loss_weight=1000) for stage in _stages},
    loss_forward_mappings={
        f'loss_at_{stage}': dict(
            s_feature=dict(from_student=True, recorder=stage),
            t_feature=dict(from_student=False, recorder=stage))
        for stage in _stages
    })
