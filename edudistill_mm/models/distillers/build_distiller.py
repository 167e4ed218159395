import copy

from mmengine.registry import MODELS as ROOT_MODELS
from torch import nn

from edudistill_mm.arguments import class_of
from edudistill_mm.compat import modernise
from edudistill_mm.models.network import build_module

from .distiller_config import check_distiller_config, check_loss_arguments
from .loss_checks import count_weights


def build_distiller(cfg: dict) -> nn.Module:
    """Build a distiller of MMRazor.

    Args:
        cfg (dict): Its config.

    Returns:
        nn.Module: The distiller, in which the weight of each loss counts.

    Raises:
        ConfigurationError: If its parts do not name one another, or cannot be built.
    """
    check_distiller_config(cfg)
    cfg = modernise(copy.deepcopy(cfg))
    # MMEngine takes all that a config inherits by `package::` for that package's own.
    scope, kind = cfg.get('_scope_'), cfg.get('type')
    if scope and class_of(kind, ROOT_MODELS, scope) is None:
        del cfg['_scope_']
    distiller = build_module(cfg, 'distiller', 'mmrazor')
    check_loss_arguments(distiller.distill_losses, distiller.loss_forward_mappings)
    count_weights(distiller)
    return distiller
