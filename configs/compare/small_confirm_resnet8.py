# small_confirm.py for ResNet-8, whose single block a stage cannot be passed by: of the curricula of
# small_growth.py that it can have, the best one grows by stages.
#     python tools/compare.py configs/compare/small_confirm_resnet8.py --jobs 2
_base_ = './small_confirm.py'

title = '20 classes of CIFAR-100 (16x16 pixels, 450 images each), ResNet-8, cost of 15 epochs of DKD'
_shallow = {'model.architecture.backbone.depth': 8}
rows = [
    dict(_base_.rows[0], cfg_options=_shallow, budget=dict(epochs=15)),
    dict(
        _base_.rows[1], name='stages as prefixes',
        cfg_options=_base_.rows[1].cfg_options
        | {'model.architecture.fragments': 'auto', 'model.architecture.student.backbone.depth': 8}),
]
work_dir = 'work_dirs/compare_small_confirm_resnet8'
