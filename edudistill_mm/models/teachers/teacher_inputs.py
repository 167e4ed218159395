from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import nn

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.resize import resize
from edudistill_mm.validation.values import check_bool, check_keys, check_size

# Recommendation ITU-R BT.601, for red, green and blue.
LUMINANCE = (0.299, 0.587, 0.114)


class TeacherInputs(nn.Module):
    """Turns the student's images into those that a teacher was trained on.

    The student's normalisation is undone, channels are swapped if the two read them in another
    order, and the teacher's normalisation is applied, all by one factor and one offset a channel;
    then the images are resized. A gray image is repeated for a teacher of three channels; one of
    three channels becomes its luminance (ITU-R BT.601) for a gray teacher: that of the pixels, or,
    where no normalisation is given, that of the student's normalised channels.

    Args:
        given (nn.Module): The data preprocessor by which the images are normalised.
        wanted (nn.Module | dict, optional): The teacher's data preprocessor, or its ``mean``,
            ``std`` (each a number a channel, for pixels of 0 to 255) and ``to_rgb``; None: the
            given one.
        size (int | tuple[int, int], optional): Height and width, or both in one; None: the
            student's.
        key (str): Where the teacher stands in the config, for error messages.
        swap (bool, optional): Whether the teacher reads the channels in the other order than the
            student does. None: if just one of the two normalisations swaps them, by its
            ``to_rgb``.
        channels (int, optional): 1 or 3, if the student has the other number.
        order (str): In which the student reads the channels, 'rgb' or 'bgr', for a gray teacher.
    """

    def __init__(
        self,
        given: nn.Module,
        wanted: nn.Module | dict | None = None,
        size: int | Sequence[int] | None = None,
        key: str = 'teachers',
        swap: bool | None = None,
        channels: int | None = None,
        order: str = 'rgb',
    ) -> None:
        super().__init__()
        self.size = check_size(size, f'{key}.input_size')
        self.swap, self.changes, self.channels = bool(swap), False, channels
        gray = torch.tensor(LUMINANCE if order == 'rgb' else LUMINANCE[::-1])
        if channels == 1:
            self.swap = False
            self.register_buffer('luminance', gray.view(-1, 1, 1), persistent=False)
        if wanted is None:
            return
        mean, std, rgb = normalisation(given)
        if isinstance(wanted, dict):
            new_mean, new_std, new_rgb = _checked(wanted, f'{key}.data_preprocessor')
        else:
            new_mean, new_std, new_rgb = normalisation(wanted)
        if channels is not None and len(new_mean) not in (1, channels):
            raise ConfigurationError(
                f'{key}.data_preprocessor is for {len(new_mean)} channels, but the teacher reads '
                f'{channels}'
            )
        if channels == 1:
            # The student's deviations weigh its channels, so that pixels are what is summed up.
            self.luminance = (gray * std).view(-1, 1, 1)
            mean, std = (gray * mean).sum(0, keepdim=True), torch.ones(1)
        elif swap is None:
            self.swap = rgb != new_rgb
        if self.swap:
            mean, std = mean.flip(0), std.flip(0)
        try:
            factor, offset = std / new_std, (mean - new_mean) / new_std
        except RuntimeError as error:
            raise ConfigurationError(
                f'{key}.data_preprocessor is for {len(new_mean)} channels, but the run normalises '
                f'{len(mean)}'
            ) from error
        self.changes = bool((factor != 1).any() or (offset != 0).any())
        self.register_buffer('factor', factor.view(-1, 1, 1), persistent=False)
        self.register_buffer('offset', offset.view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Convert images [n, C, H, W] to [n, C', H', W']; the same tensor if nothing changes."""
        if self.channels == 1:
            images = (images * self.luminance).sum(1, keepdim=True)
        if self.swap:
            images = images.flip(1)
        if self.changes:
            images = images * self.factor + self.offset
        if self.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        return resize(images, self.size)


def normalisation(preprocessor: nn.Module) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """A data preprocessor's mean and deviation, [C] or [1], and whether it swaps channels."""
    # MMPretrain's and MMEngine's own name for the same.
    swaps = bool(
        getattr(preprocessor, 'to_rgb', False)
        or getattr(preprocessor, '_channel_conversion', False)
    )
    if not getattr(preprocessor, '_enable_normalize', False):
        return torch.zeros(1), torch.ones(1), swaps
    return preprocessor.mean.flatten().float(), preprocessor.std.flatten().float(), swaps


def _checked(cfg: dict, key: str) -> tuple[torch.Tensor, torch.Tensor, bool]:
    given = {name: value for name, value in cfg.items() if name != 'type'}
    check_keys(given, ('mean', 'std', 'to_rgb'), key)
    mean, std = cfg.get('mean'), cfg.get('std')
    if not (_numbers(mean) and _numbers(std) and len(mean) == len(std) and min(std) > 0):
        raise ConfigurationError(
            f'{key} needs "mean" and a positive "std" for each channel, but got {mean!r} and {std!r}'
        )
    rgb = cfg.get('to_rgb', False)
    check_bool(rgb, f'{key}.to_rgb')
    return torch.tensor(mean).float(), torch.tensor(std).float(), rgb


def _numbers(value: Any) -> TypeGuard[Sequence[float]]:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in value)
    )
