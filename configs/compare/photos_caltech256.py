# photos_food101.py on a part of Caltech-256:
#     python tools/compare.py configs/compare/photos_caltech256.py --jobs 2
_base_ = './photos_food101.py'

title = 'Part of Caltech-256 (32x32 pixels), ResNet-20, cost of 120 epochs of DKD'
rows = [
    dict(
        row, budget=dict(epochs=epochs),
        config=row.config.replace('food101/', 'caltech256/').replace('_food101', '_caltech256'))
    for row, epochs in zip(_base_.rows, (120, 216, 130))
]
work_dir = 'work_dirs/compare_photos_caltech256'
