# Zagoruyko and Komodakis 2017 with the weight of RepDistiller (Tian et al. 2020): CE + 1000 times
# the squared distance of the attention maps, summed over the stages. Stages that a grade does not
# have sleep. The maps of a stage must have one size in both networks; channels may differ.
task_loss_weight = 1.0
stages = ('layer1', 'layer2', 'layer3', 'layer4')
distiller = dict(
    type='ConfigurableDistiller',
    student_recorders={stage: dict(type='ModuleOutputs', source=f'backbone.{stage}') for stage in stages},
    teacher_recorders={stage: dict(type='ModuleOutputs', source=f'backbone.{stage}') for stage in stages},
    distill_losses={f'loss_at_{stage}': dict(type='ATLoss', loss_weight=1000) for stage in stages},
    loss_forward_mappings={
        f'loss_at_{stage}': dict(
            s_feature=dict(from_student=True, recorder=stage),
            t_feature=dict(from_student=False, recorder=stage))
        for stage in stages
    })
