# The baseline of edu_kd.py under a rate that stays and then decays once, as the curricula of growing
# blocks have it; the config adds data, student and teacher.
_base_ = ['./kd_unscheduled.py', '../schedules/stable_then_decay.py']
