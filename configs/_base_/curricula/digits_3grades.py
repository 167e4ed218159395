# Digits 0-3, then 4-6, then 7-9; each grade brings its expert and one more fragment. The learning
# rate restarts at each promotion.
epochs = [6, 6, 18]

curriculum = dict(
    num_classes=10,
    grades=[
        dict(name='primary', epochs=epochs[0], fragments=1, classes=4, teachers=['primary']),
        dict(name='middle', epochs=epochs[1], fragments=2, classes=3, teachers=['middle']),
        dict(name='university', epochs=epochs[2], fragments=3, classes=3, teachers=['university']),
    ])

train_cfg = dict(by_epoch=True, max_epochs=sum(epochs), val_interval=1)
param_scheduler = dict(
    type='CosineRestartLR', by_epoch=True, periods=epochs, restart_weights=[1] * len(epochs), eta_min=0)
