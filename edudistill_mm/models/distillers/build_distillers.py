import copy
from collections.abc import Sequence

from mmengine.registry import MODELS as ROOT_MODELS
from torch import nn

from edudistill_mm.compat import modernise
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module
from edudistill_mm.validation.arguments import class_of

from .distiller_config import check_distiller_config, check_loss_arguments
from .loss_checks import count_weights, warn_of_reductions


def build_distillers(cfg: dict | None, teachers: Sequence[str]) -> nn.ModuleDict:
    """MMRazor's distiller for each teacher, by its name; the weight of each loss counts."""
    distillers = nn.ModuleDict({name: _build(cfg or {}) for name in teachers})
    for first in list(distillers.values())[:1]:
        warn_of_reductions(first)
        if len(teachers) > 1 and first.deliveries.deliveries:
            raise ConfigurationError(
                'distiller.distill_deliveries hand data of one teacher to the student, but there are '
                f'{len(teachers)} teachers'
            )
    return distillers


def _build(cfg: dict) -> nn.Module:
    check_distiller_config(cfg)
    cfg = modernise(copy.deepcopy(cfg))
    for records in (cfg.get('loss_forward_mappings') or {}).values():
        for record in records.values():
            # A config that switches an inherited connector off; MMRazor's would look for None.
            if record.get('connector', '') is None:
                del record['connector']
    # MMEngine gives all that a config inherits by `package::` that package's scope.
    scope, kind = cfg.get('_scope_'), cfg.get('type')
    if scope and class_of(kind, ROOT_MODELS, scope) is None:
        del cfg['_scope_']
    distiller = build_module(cfg, 'distiller', 'mmrazor')
    check_loss_arguments(distiller.distill_losses, distiller.loss_forward_mappings)
    count_weights(distiller)
    return distiller
