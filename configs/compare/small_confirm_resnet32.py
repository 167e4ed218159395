# small_confirm.py for ResNet-32, which has five blocks a stage: does a deeper student gain more?
#     python tools/compare.py configs/compare/small_confirm_resnet32.py --jobs 2
# Written before the runs; nothing was chosen with this student. small_confirm_long_resnet32.py has four times
# the budget.
_base_ = './small_confirm.py'

title = '20 classes of CIFAR-100 (16x16 pixels, 450 images each), ResNet-32, cost of 12 epochs of DKD'
_depth = {'model.architecture.student.backbone.depth': 32}
rows = [
    dict(_base_.rows[0], cfg_options={'model.architecture.backbone.depth': 32}),
    dict(_base_.rows[1], cfg_options=_depth),
    dict(_base_.rows[2], cfg_options=_depth),
]
baselines = ['DKD, stable']
work_dir = 'work_dirs/compare_small_confirm_resnet32'
