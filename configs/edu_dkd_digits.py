# Handwritten digits: the experts and the grades of edu_kd_digits.py, with DKD.
_base_ = './digits/edu-dkd-experts_resnet14_resnet14_digits.py'
