"""What MMRazor 1.0.0's losses compute that their configs do not say."""

import warnings
from collections.abc import Mapping
from typing import Any

from mmrazor.models.losses import CRDLoss, DKDLoss, KLDivergence
from mmrazor.models.task_modules.recorder import ModuleInputsRecorder
from torch import Tensor, nn


def count_weights(distiller: nn.Module) -> None:
    """Let the ``loss_weight`` count that CRDLoss stores and never reads.

    The class stays as it is: what MMRazor's own algorithms build is not changed.
    """
    for loss in distiller.distill_losses.values():
        if type(loss).forward is CRDLoss.forward:
            loss.register_forward_hook(_weigh)


def _weigh(loss: nn.Module, inputs: Any, value: Tensor) -> Tensor:
    return value * loss.loss_weight


def warn_of_reductions(distiller: nn.Module) -> None:
    """Warn of losses whose ``reduction`` does not give a mean over the samples."""
    for name, loss in distiller.distill_losses.items():
        key = f'distiller.distill_losses.{name}.reduction'
        if isinstance(loss, DKDLoss) and loss.reduction != 'batchmean':
            warnings.warn(
                f'{key}="{loss.reduction}" of DKDLoss is the sum over the batch, whatever its name '
                'says (MMRazor 1.0.0), so the loss grows with the batch; "batchmean" is the mean',
                stacklevel=2,
            )
        elif getattr(loss, 'reduction', None) == 'sum':
            warnings.warn(
                f'{key}="sum" adds up the samples of a teacher, so the loss grows with the batch, and '
                'with its share of the batch twice; a mean does not',
                stacklevel=2,
            )
        elif isinstance(loss, KLDivergence) and loss.reduction in ('mean', 'none'):
            warnings.warn(
                f'{key}="{loss.reduction}" of KLDivergence divides by the number of classes as well, so the '
                'loss shrinks as a curriculum introduces classes; "batchmean" is the mean over samples',
                stacklevel=2,
            )


def reads_labels(distiller: nn.Module, mapping: Mapping[str, Mapping]) -> bool:
    """Whether a loss with this mapping reads the labels of the loss of the student's head."""
    recorders = distiller.student_recorders.recorders
    return any(
        record['from_student']
        and record.get('data_idx') == 1
        and isinstance(recorders[record['recorder']], ModuleInputsRecorder)
        and recorders[record['recorder']].source.endswith('loss_module')
        for record in mapping.values()
    )
