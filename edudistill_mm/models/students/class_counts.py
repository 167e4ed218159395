import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from mmpretrain.models.heads import ClsHead, EfficientFormerClsHead
from torch import nn

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.class_index import ClassIndex


class ClassCounts:
    """What heads and their losses know of the classes.

    That is their number, top-k, and arguments with a value for each class, such as weights.

    Args:
        heads (Iterable[nn.Module | None]): Heads, which may share their loss; those that are no
            ``ClsHead`` are left alone.
        num_classes (int): Number of all classes.
    """

    def __init__(self, heads: Iterable[nn.Module | None], num_classes: int) -> None:
        own = [head for head in heads if isinstance(head, ClsHead)]
        parts = {part for head in own for part in head.loss_module.modules()}
        self._num_classes = num_classes
        self.settings: list[tuple[nn.Module, str, Any]] = [
            *((head, 'topk', head.topk) for head in own),
            *((p, 'num_classes', p.num_classes) for p in parts if hasattr(p, 'num_classes')),
            *((p, name, vars(p)[name]) for p in parts for name in self._per_class(p)),
        ]

    def follow(self, seen: ClassIndex) -> None:
        """Set heads and losses to the classes taught."""
        count = len(seen)
        for module, name, value in self.settings:
            if not seen.complete:
                if name == 'topk':
                    ks = (value,) if isinstance(value, int) else value
                    value = tuple(k for k in ks if k <= count) or (1,)
                elif name == 'num_classes':
                    value = count
                elif isinstance(value, (list, tuple)):
                    value = [value[label] for label in seen.classes]
                else:
                    value = value[list(seen.classes)]
            setattr(module, name, value)

    def _per_class(self, loss: nn.Module) -> list[str]:
        """Names of the arguments of a loss that have a value for each class."""

        def fits(value: Any) -> bool:
            if isinstance(value, (np.ndarray, torch.Tensor)):
                return tuple(value.shape) == (self._num_classes,)
            return (
                isinstance(value, (list, tuple))
                and len(value) == self._num_classes
                and all(isinstance(item, (int, float)) for item in value)
            )

        names = inspect.signature(type(loss).__init__).parameters
        return [name for name in names if fits(vars(loss).get(name))]


def check_partial_loss(head: nn.Module | None, num_classes: int) -> None:
    """Refuse a head that computes its loss over all classes only."""
    plain_losses = (ClsHead.loss, EfficientFormerClsHead.loss)
    if not (isinstance(head, ClsHead) and type(head).loss in plain_losses):
        raise ConfigurationError(
            f'architecture.student.head of type {type(head).__name__} computes its loss over all '
            'classes only, so no grade can teach a part of them'
        )
    for name, buffer in head.loss_module.named_buffers():
        if num_classes in buffer.shape:
            raise ConfigurationError(
                f'architecture.student.head.loss of type {type(head.loss_module).__name__} keeps '
                f'statistics of all classes ("{name}"), so no grade can teach a part of them'
            )
