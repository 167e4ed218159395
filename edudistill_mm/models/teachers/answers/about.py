"""All that a teacher's scores of the views of a data set depend on."""

import hashlib
from typing import Any

from torch import Tensor, nn

from edudistill_mm.models.teachers.teacher_inputs import TeacherInputs, normalisation


def about(
    network: nn.Module, inputs: TeacherInputs, preprocessor: nn.Module, data: str, precision: str
) -> dict[str, Any]:
    """What identifies the scores of a network, in JSON.

    Args:
        network (nn.Module): The teacher's network; its weights and its structure count, wherever
            they come from.
        inputs (TeacherInputs): What the teacher makes of the student's images.
        preprocessor (nn.Module): What makes the student's images of those of the data set.
        data (str): The fingerprint of images, labels and views.
        precision (str): The type in which the network computes.
    """
    mean, std, swaps = normalisation(preprocessor)
    weights = {name: getattr(inputs, name, None) for name in ('factor', 'offset', 'luminance')}
    return dict(
        network=_sha256(network),
        data=data,
        student_images=dict(
            preprocessor=type(preprocessor).__name__,
            mean=_numbers(mean),
            std=_numbers(std),
            swaps_channels=swaps,
            padding=[
                getattr(preprocessor, name, None) for name in ('pad_size_divisor', 'pad_value')
            ],
        ),
        teacher_images=dict(
            swaps_channels=inputs.swap,
            channels=inputs.channels,
            size=inputs.size and list(inputs.size),
            **{
                name: None if value is None else _numbers(value) for name, value in weights.items()
            },
        ),
        precision=precision,
    )


def _sha256(network: nn.Module) -> str:
    """Hash of a network's structure and of all its tensors."""
    digest = hashlib.sha256(str(network).encode())
    for name, value in sorted(network.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.flatten().view(-1).numpy().tobytes())
    return digest.hexdigest()


def _numbers(values: Tensor) -> list[str]:
    # Devices divide differently in the last digit.
    return [f'{value:.6g}' for value in values.flatten().tolist()]
