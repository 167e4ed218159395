# The three grades of three_grades.py for the 100 classes of CIFAR-100: 33, 33 and 34.
_base_ = './three_grades.py'

curriculum = dict(num_classes=100)
