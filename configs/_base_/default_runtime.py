default_scope = 'mmpretrain'

# Registers what this package adds, also for tools that do not know it (MMPretrain's, MIM's).
custom_imports = dict(imports=['edudistill_mm'], allow_failed_imports=False)
# Completes and checks the config, also for those tools.
runner_type = 'EducationRunner'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # 'accuracy/top1' counts all classes at every grade; 'seen/top1' would prefer the easy first
    # grade.
    checkpoint=dict(
        type='CheckpointHook', interval=1, max_keep_ckpts=1, save_best='accuracy/top1', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Keeps checkpoints loadable with torch.load(weights_only=True).
    safe_checkpoint=dict(type='SafeCheckpointHook'),
    # Leaves a plain MMPretrain student beside each checkpoint, in students/.
    student_checkpoint=dict(type='StudentCheckpointHook'),
    # Stops the run before a loss or weights that are not finite reach a checkpoint.
    finite_loss=dict(type='FiniteLossHook'),
    # Saves and ends a run that is asked to by SIGTERM or SIGUSR1.
    preemption=dict(type='PreemptionHook'))

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
randomness = dict(seed=0, deterministic=False)
log_level = 'INFO'
load_from = None
resume = False
