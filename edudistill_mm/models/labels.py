"""The class of a sample, and the form in which its label reaches the losses."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import nn

from edudistill_mm.distributed import unwrap_model
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.unpacked import refuse_unpacked

# Stands for the class of a sample whose label mixes several.
MIXED = -1


def classes_of(data_samples: Sequence[DataSample]) -> torch.Tensor:
    """The class of each sample of a batch, in the data set's numbering, [B].

    There is a sample for each image, or one for the batch, with ``gt_label`` [B]. ``gt_score``
    (one-hot, or mixed by Mixup and its like) counts before ``gt_label``, which MMPretrain keeps
    beside the scores of a mixture. Where no score reaches 1, :data:`MIXED` stands.
    """
    if 'gt_score' not in data_samples[0]:
        return torch.cat([sample.gt_label for sample in data_samples])
    largest, classes = torch.stack([sample.gt_score for sample in data_samples]).max(1)
    return classes.masked_fill(largest < 1, MIXED)


def field_of(data_samples: Sequence[DataSample], name: str) -> torch.Tensor:
    """A number of each sample of a batch, [B]; a sample may stand for all of them."""
    return torch.cat([sample.get(name).reshape(-1) for sample in data_samples])


def set_label_width(preprocessor: Any, num_classes: int) -> None:
    """Set the width of a data preprocessor's one-hot labels; another width is refused."""
    if not getattr(preprocessor, 'to_onehot', False):
        return
    told = getattr(preprocessor, 'num_classes', None)
    if told not in (None, num_classes):
        raise ConfigurationError(
            f'data_preprocessor.num_classes is {told}, but the one-hot labels that it makes are those '
            f'of {num_classes} classes; set it to {num_classes}'
        )
    preprocessor.num_classes = num_classes


def split_for_scores(preprocessor: nn.Module) -> None:
    """Let a data preprocessor that makes scores of the labels have a sample for each image.

    MMPretrain's takes the labels of one sample for those of one image.
    """
    preprocessor.register_forward_pre_hook(_split_samples)


def _split_samples(preprocessor: nn.Module, arguments: tuple) -> tuple | None:
    mixes = getattr(preprocessor, 'batch_augments', None) is not None
    data, *others = arguments
    samples = data.get('data_samples') if isinstance(data, dict) else None
    if not (mixes or getattr(preprocessor, 'to_onehot', False)) or not samples:
        return None
    if len(samples) != 1 or len(data['inputs']) == 1:
        return None
    (whole,) = samples
    each = [DataSample().set_gt_label(label) for label in whole.gt_label.split(1)]
    for name in ('sample_idx', 'view'):
        for sample, value in zip(each, whole.get(name, ())):
            sample.set_field(value, name)
    return (dict(data, data_samples=each), *others)


def accept_one_hot(model: nn.Module) -> None:
    """Let the losses of a classifier, or of an algorithm around one, take ``to_onehot``'s labels.

    These are integers, which torch's cross-entropy refuses as probabilities, and MMPretrain makes
    none before it knows their width.
    """
    model = unwrap_model(model)
    heads = [module for module in model.modules() if isinstance(module, ClsHead)]
    for loss in {head.loss_module for head in heads}:
        loss.register_forward_pre_hook(as_probabilities)
    if isinstance(getattr(model, 'data_preprocessor', None), nn.Module):
        split_for_scores(model.data_preprocessor)
        refuse_unpacked(model.data_preprocessor)
    width = getattr(getattr(model, 'head', None), 'num_classes', None)
    if width is not None:
        set_label_width(getattr(model, 'data_preprocessor', None), width)


def as_probabilities(module: nn.Module, inputs: tuple) -> tuple | None:
    """Forward pre-hook of a loss: integer one-hot labels become probabilities."""
    if len(inputs) > 1 and isinstance(inputs[1], torch.Tensor):
        scores, target, *others = inputs
        if target.shape == scores.shape and not target.is_floating_point():
            return (scores, target.to(scores.dtype), *others)
    return None
