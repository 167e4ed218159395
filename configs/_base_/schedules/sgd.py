# The optimizer of the distillation literature (Tian et al. 2020, CIFAR-100), at batch size 64.
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4))
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64)
