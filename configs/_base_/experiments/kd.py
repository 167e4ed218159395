# The baseline of edu_kd.py under one cosine, over the same epochs; the config adds data, student and
# teacher.
_base_ = ['./kd_unscheduled.py', '../schedules/cosine_240e.py']
