# The curriculum of edu_kd.py without teachers: what growing alone does.
_base_ = ['../schedules/sgd.py', '../curricula/three_grades.py', '../default_runtime.py']

model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent'),
    curriculum={{_base_.curriculum}})
custom_hooks = [dict(type='GradeSchedulerHook')]
