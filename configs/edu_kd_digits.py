# Handwritten digits: three experts and their student in three fragments.
_base_ = './digits/edu-kd-experts_resnet14_resnet14_digits.py'
