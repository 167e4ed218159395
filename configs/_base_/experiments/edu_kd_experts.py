# The paper's own curriculum and losses (arXiv 2311.13811 and section 7 of its public code), with
# promotions at epochs 150 and 180; the config adds data, student and experts.
_base_ = [
    '../schedules/sgd.py', '../schedules/multistep_240e.py', '../curricula/paper.py',
    '../distillers/kd_experts.py', '../default_runtime.py'
]

model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent'),
    distiller={{_base_.distiller}},
    task_loss_weight={{_base_.task_loss_weight}},
    curriculum={{_base_.curriculum}})
custom_hooks = [dict(type='GradeSchedulerHook')]
