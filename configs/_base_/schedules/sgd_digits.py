optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4))
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
