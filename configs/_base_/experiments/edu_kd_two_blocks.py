# edu_kd_blocks.py for students of two blocks a stage, as ResNet-18 is: whole from the second grade on.
_base_ = './edu_kd_blocks.py'

model = dict(
    curriculum=dict(grades=[
        dict(grade, fragments=min(grade.fragments, 2)) for grade in _base_.curriculum.grades]))
