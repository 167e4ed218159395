# ResNet-20, three blocks a stage, and its generalist, a ResNet-14 of twice the width, for small
# images of any data set.
_base_ = './resnet20_small.py'

# Longer than on CIFAR-100, as images are fewer; not every data set has `samples_per_class`.
teacher_training = dict(
    train_cfg=dict(max_epochs=60),
    param_scheduler=dict(T_max=60),
    train_dataloader=dict(_delete_=True))
