# photos_food101.py on a part of Tiny-ImageNet:
#     python tools/compare.py configs/compare/photos_tiny_imagenet.py --jobs 2
_base_ = './photos_food101.py'

title = 'Part of Tiny-ImageNet (32x32 pixels), ResNet-20, cost of 30 epochs of DKD'
rows = [
    dict(
        row, budget=dict(epochs=epochs),
        config=row.config.replace('food101/', 'tiny_imagenet/').replace('_food101', '_tiny-imagenet'))
    for row, epochs in zip(_base_.rows, (30, 54, 32))
]
work_dir = 'work_dirs/compare_photos_tiny_imagenet'
