from typing import Any

import torch
from mmengine.logging import MessageHub

from .lazy_history_buffer import LazyHistoryBuffer


class LazyMessageHub(MessageHub):
    """MMEngine's ``MessageHub``, which does not wait for the device to log a tensor.

    Its log is the same, in a :class:`LazyHistoryBuffer` for each name. An iteration takes as long
    at the end of a long run as at its beginning. It is found by
    ``MessageHub.get_current_instance()``.
    """

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        """Append a number or a tensor of one element to the log; see ``MessageHub``."""
        buffer = self._log_scalars.get(key)
        if not isinstance(buffer, LazyHistoryBuffer):
            # A new name, or one from a checkpoint.
            super().update_scalar(key, value, count, resumed)
            buffer = self._log_scalars[key]
            self._log_scalars[key] = LazyHistoryBuffer(*buffer.data, buffer.max_length)
            return
        self._set_resumed_keys(key, resumed)
        if isinstance(value, torch.Tensor) and value.numel() == 1 and value.device.type != 'cpu':
            # A copy, because a captured step writes its losses to the same place again.
            value = value.detach().clone()
        else:
            value = self._get_valid_value(value)
        assert isinstance(count, int), f'The type of count must be int. but got {type(count)}'
        buffer.update(value, count)


# MMEngine's metaclass gives each class instances of its own.
LazyMessageHub._instance_dict = MessageHub._instance_dict
