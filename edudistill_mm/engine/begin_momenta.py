from typing import Any

import torch


def begin_momenta(optimizer: Any) -> None:
    """Give the parameters that an SGD with ``fused=True`` has not updated yet a momentum of 0.

    PyTorch's fused kernel takes parameters with and without a momentum at once no more than the
    first time, and a promotion brings new ones. From 0 it begins as from none.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        if not group.get('fused') or not group['momentum'] or group['dampening']:
            continue
        new = [p for p in group['params'] if 'momentum_buffer' not in optimizer.state.get(p, {})]
        for parameter in new if len(new) < len(group['params']) else ():
            optimizer.state[parameter]['momentum_buffer'] = torch.zeros_like(parameter)
