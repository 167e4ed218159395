# A third of the classes, one more fragment and a third (then a half) of the time at each grade.
# The learning rate restarts at each promotion, so that the last fragment and the last classes are
# not left with what a decayed schedule gives them.
epochs = [60, 60, 120]

curriculum = dict(
    num_classes='auto',
    grades=[
        dict(name='primary', epochs=epochs[0], fragments=1, classes=1 / 3),
        dict(name='middle', epochs=epochs[1], fragments=2, classes=1 / 3),
        dict(name='university', epochs=epochs[2], fragments=3, classes='all'),
    ])

train_cfg = dict(by_epoch=True, max_epochs=sum(epochs), val_interval=1)
param_scheduler = dict(
    type='CosineRestartLR', by_epoch=True, periods=epochs, restart_weights=[1] * len(epochs), eta_min=0)
