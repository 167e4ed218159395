"""Mistakes in a distiller's config, and what MMRazor 1.0.0's losses compute that it does not say."""

import warnings
from typing import Iterable

from mmrazor.models.losses import DKDLoss, KLDivergence
from torch import nn

from edudistill_mm.errors import ConfigurationError, did_you_mean


def warn_of_reductions(distiller: nn.Module) -> None:
    """Warn of losses whose ``reduction`` does not give a mean over the samples.

    Args:
        distiller (nn.Module): A distiller of MMRazor.
    """
    for name, loss in distiller.distill_losses.items():
        key = f'distiller.distill_losses.{name}.reduction'
        if isinstance(loss, DKDLoss) and loss.reduction != 'batchmean':
            warnings.warn(
                f'{key}="{loss.reduction}" of DKDLoss is the sum over the batch, whatever its name '
                'says (MMRazor 1.0.0), so the loss grows with the batch; "batchmean" is the mean',
                stacklevel=2,
            )
        elif isinstance(loss, KLDivergence) and loss.reduction == 'mean':
            warnings.warn(
                f'{key}="mean" of KLDivergence divides by the number of classes as well, so the '
                'loss shrinks as a curriculum introduces classes; "batchmean" is the mean over samples',
                stacklevel=2,
            )


def check_mappings(cfg: dict) -> None:
    """See that ``loss_forward_mappings`` name what the distiller has.

    MMRazor sees that, too, but not for arguments with a default.

    Args:
        cfg (dict): Config of a distiller.

    Raises:
        ConfigurationError: For the first name of a loss, a recorder or a connector that does not
        exist.
    """
    losses = cfg.get('distill_losses') or {}
    for loss, mapping in (cfg.get('loss_forward_mappings') or {}).items():
        key = 'distiller.loss_forward_mappings'
        _check_name(key, loss, 'distill_losses', losses)
        for argument, record in mapping.items() if isinstance(mapping, dict) else ():
            if not isinstance(record, dict):
                continue
            side = 'student_recorders' if record.get('from_student') else 'teacher_recorders'
            for name, part in (('recorder', side), ('connector', 'connectors')):
                if record.get(name) is not None:
                    where = f'{key}.{loss}.{argument}.{name}'
                    _check_name(where, record[name], part, cfg.get(part) or {})


def _check_name(key: str, name: str, part: str, known: Iterable[str]) -> None:
    if name not in known:
        possible = f'it has {", ".join(known)}' if known else 'there are none'
        raise ConfigurationError(
            f'{key} names "{name}", which distiller.{part} does not have{did_you_mean(name, known)}; '
            f'{possible}'
        )
