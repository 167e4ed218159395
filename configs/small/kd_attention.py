# Attention transfer at the cuts beside plain KD.
_base_ = './kd.py'

# The weight of _base_/distillers/at.py.
stages = ('layer1', 'layer2', 'layer3')
model = dict(distiller=dict(
    student_recorders={stage: dict(type='ModuleOutputs', source=f'backbone.{stage}') for stage in stages},
    teacher_recorders={stage: dict(type='ModuleOutputs', source=f'backbone.{stage}') for stage in stages},
    distill_losses={f'loss_at_{stage}': dict(type='ATLoss', loss_weight=1000) for stage in stages},
    loss_forward_mappings={
        f'loss_at_{stage}': dict(
            s_feature=dict(from_student=True, recorder=stage),
            t_feature=dict(from_student=False, recorder=stage))
        for stage in stages
    }))
