# The experts of edu_kd_experts.py without its curriculum: all three from the start, each on the
# samples of its classes.
_base_ = [
    '../schedules/sgd.py', '../schedules/multistep_240e.py', '../curricula/one_grade.py',
    '../distillers/kd_experts.py', '../default_runtime.py'
]

model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent'),
    distiller={{_base_.distiller}},
    task_loss_weight={{_base_.task_loss_weight}},
    curriculum={{_base_.curriculum}})
# The classes of the experts, which are those of the grades of curricula/paper.py.
shares = [(0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0)]
custom_hooks = [dict(type='GradeSchedulerHook')]
