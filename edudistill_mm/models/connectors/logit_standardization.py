import torch
from mmrazor.models.architectures.connectors.base_connector import BaseConnector

from edudistill_mm.registry import MODELS, register


@register(MODELS)
class LogitStandardization(BaseConnector):
    """Each sample's logits less their mean, over their standard deviation.

    The student then matches the teacher's relations between classes, not the range of its logits
    (Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024, arXiv 2403.01427).
    The deviation is the unbiased one, as in their code. As a connector of both networks' logits it
    goes with any loss on logits.

    Args:
        eps (float): What is added to the deviation. Defaults to 1e-7.
        init_cfg (dict, optional): Defaults to None.
    """

    def __init__(self, eps: float = 1e-7, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.eps = eps

    def forward_train(self, feature: torch.Tensor) -> torch.Tensor:
        """Standardize logits [B, C]."""
        centred = feature - feature.mean(dim=1, keepdim=True)
        return centred / (feature.std(dim=1, keepdim=True) + self.eps)
