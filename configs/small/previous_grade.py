# The student as it left the previous grade is one more teacher.
_base_ = './edu_kd.py'

model = dict(teachers=[_base_.generalist, dict(name='past', architecture='previous_grade')])
