from typing import Any

from mmengine.config import Config

from edudistill_mm.type_name import type_name


def count_iterations(cfg: Config) -> None:
    """Let the logs and default hooks of a training that counts iterations count them, too.

    MMEngine's count epochs unless they are told otherwise: all validations would be logged for epoch
    0, and no checkpoint would be written before the end. What the config says stays; an interval of 1
    for checkpoints, which is meant for epochs, becomes that of validations.
    """
    loop = cfg.get('train_cfg') or {}
    if 'max_iters' not in loop or 'max_epochs' in loop:
        return
    hooks = dict(cfg.get('default_hooks') or {})
    logger: Any = hooks.setdefault('logger', dict(type='LoggerHook'))
    if type_name(logger or {}) == 'LoggerHook':
        logger.setdefault('log_metric_by_epoch', False)
    writer: Any = hooks.setdefault('checkpoint', dict(type='CheckpointHook', interval=1))
    if type_name(writer or {}) == 'CheckpointHook' and 'by_epoch' not in writer:
        writer['by_epoch'] = False
        if writer.get('interval') == 1:
            # MMEngine validates each 1000 iterations.
            writer['interval'] = loop.get('val_interval', 1000)
    cfg.default_hooks = hooks
    processor = dict(cfg.get('log_processor') or {})
    if type_name(processor) in ('', 'LogProcessor'):
        cfg.log_processor = dict(dict(by_epoch=False), **processor)
