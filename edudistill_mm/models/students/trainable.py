from typing import Any

from mmpretrain.models.heads import EfficientFormerClsHead, LeViTClsHead

from edudistill_mm.errors import ConfigurationError


def check_trainable(head: Any, backbone: Any) -> None:
    """Refuse what only fails once it is trained."""
    if isinstance(head, (EfficientFormerClsHead, LeViTClsHead)) and (
        getattr(head, 'dist', False) or getattr(head, 'distillation', False)
    ):
        raise ConfigurationError(
            f'architecture.student.head of type {type(head).__name__} cannot be trained by MMPretrain '
            f'with distillation=True, its default; set distillation=False'
        )
    if getattr(backbone, 'no_custom_backward', True) is False:
        raise ConfigurationError(
            f'architecture.student.backbone of type {type(backbone).__name__} runs its layers inside '
            f'a backward function of its own, where no gradient reaches a cut; set '
            f'no_custom_backward=True'
        )
