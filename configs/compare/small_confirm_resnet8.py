# small_confirm.py for ResNet-8, whose single block a stage cannot be passed by: of the curricula of
# small_growth.py that it can have, the best one grows by stages.
#     python tools/compare.py configs/compare/small_confirm_resnet8.py --jobs 2
_base_ = './small_confirm.py'

title = '20 classes of CIFAR-100 (16x16 pixels, 450 images each), ResNet-8, cost of 15 epochs of DKD'
rows = [
    dict(
        _base_.rows[0], cfg_options={'model.architecture.backbone.depth': 8},
        budget=dict(epochs=15)),
    dict(
        _base_.rows[1], name='stages as prefixes', budget=dict(epochs=19),
        cfg_options={
            'model.architecture.fragments': 'auto',
            'model.architecture.new_blocks': None,
            'model.architecture.student.backbone.depth': 8,
            **{f'model.curriculum.grades.{index}.image_size': None for index in range(2)},
        }),
]
baselines = ['DKD, stable']
work_dir = 'work_dirs/compare_small_confirm_resnet8'
