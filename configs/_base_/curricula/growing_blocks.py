# Blocks inside the stages and small images first, all classes from the start: the student is never cut,
# its own neck and head teach from the first day. Of the student's FLOPs the grades take about 12, 25 and
# 63 %. The learning rate stays until the last grade, and decays once.
_base_ = '../schedules/stable_then_decay.py'

epochs = [90, 66, 84]
curriculum = dict(
    num_classes='auto',
    grades=[
        dict(name='primary', epochs=epochs[0], fragments=1, classes='all', image_size=0.75),
        dict(name='middle', epochs=epochs[1], fragments=2, image_size=0.875),
        dict(name='university', epochs=epochs[2], fragments=3),
    ])

train_cfg = dict(by_epoch=True, max_epochs=sum(epochs), val_interval=1)
param_scheduler = [_base_.warm_up, dict(_base_.decay, begin=sum(epochs[:-1]), end=sum(epochs))]
