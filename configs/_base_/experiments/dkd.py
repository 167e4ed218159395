# The baseline of edu_dkd.py under one cosine, over the same epochs; the config adds data, student and
# teacher.
_base_ = ['./dkd_unscheduled.py', '../schedules/cosine_240e.py']
