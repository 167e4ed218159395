# KD for a student that grows by blocks inside its stages: edu_dkd_blocks.py with another loss, which was not
# measured (docs/results.md); the config adds data, student and teachers.
_base_ = [
    '../schedules/sgd.py', '../curricula/growing_blocks.py', '../distillers/kd.py',
    '../default_runtime.py'
]

model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent', fragments='blocks', new_blocks='copy'),
    distiller={{_base_.distiller}},
    task_loss_weight={{_base_.task_loss_weight}},
    curriculum={{_base_.curriculum}})
custom_hooks = [dict(type='GradeSchedulerHook')]
