"""Augmentations that mix the images, and the labels, of a batch."""

from typing import Any

from torch import nn

from edudistill_mm.errors import ConfigurationError


def names_of_augments(preprocessor: nn.Module | None) -> str:
    """Names of a data preprocessor's batch augmentations, such as 'Mixup, CutMix'."""
    augments = getattr(preprocessor, 'batch_augments', None)
    if augments is None:
        return ''
    found = [one for one in getattr(augments, 'augments', [augments]) if one is not None]
    return ', '.join(type(one).__name__ for one in found)


def adopt_augments(preprocessor: Any, given: Any, own: nn.Module | None) -> bool:
    """Let a preprocessor that replaces a classifier's own apply the classifier's augmentations.

    MMPretrain's classifiers put the ``augments`` of their ``train_cfg`` into the preprocessor that
    they build, unless its config (here ``given``) has ``batch_augments``; so does this function.

    Returns:
        bool: Whether the augmentations in use are the classifier's.
    """
    names = names_of_augments(own)
    if own is None or not names or preprocessor is own:
        return bool(names)
    if isinstance(given, dict) and 'batch_augments' in given:
        return False
    if not hasattr(preprocessor, 'batch_augments'):
        raise ConfigurationError(
            f'the batch augmentations of architecture.student ({names}, train_cfg.augments) cannot be '
            f'applied: data_preprocessor of type "{type(preprocessor).__name__}" has none; set its type '
            f'to "ClsDataPreprocessor", or architecture.student.train_cfg to None'
        )
    if preprocessor.batch_augments is not None:
        return False
    preprocessor.batch_augments, preprocessor.to_onehot = own.batch_augments, True
    return True
