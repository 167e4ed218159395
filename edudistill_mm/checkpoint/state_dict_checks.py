from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edudistill_mm.errors import ConfigurationError


def state_dict_mismatch(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """The first difference of weights from expected tensors, as a clause; others do no harm."""
    for name, tensor in expected.items():
        if name in state and state[name].shape != tensor.shape:
            shape, wanted = tuple(state[name].shape), tuple(tensor.shape)
            return f'"{name}" is {shape}, the network wants {wanted}'
        if name in state and state[name].is_floating_point() != tensor.is_floating_point():
            found = str(state[name].dtype).removeprefix('torch.')
            return f'"{name}" holds {found}, the network wants {str(tensor.dtype).removeprefix("torch.")}'
    missing = [
        name for name in expected if name not in state and not name.endswith('num_batches_tracked')
    ]
    if missing:
        return (
            f'it lacks {len(missing)} of {len(expected)} tensors of the architecture, the first is '
            f'"{missing[0]}"'
        )
    return None


def check_finite(
    state: Mapping[str, Tensor], network: nn.Module, where: str, naming: str = '"{}"'
) -> None:
    """Refuse weights with a NaN or infinite value.

    A buffer may have infinite values (a mask) where the network's own has some.

    Args:
        state (Mapping[str, Tensor]): The weights by name; others than the network's do no harm.
        network (nn.Module): The network for which they are.
        where (str): What holds them, the subject of the message.
        naming (str): How the message names a tensor, a format. Defaults to the name in quotes.

    Raises:
        ConfigurationError: If a weight is NaN or infinite; it names the first such tensor.
    """
    parameters = dict(network.named_parameters())
    for name, own in network.state_dict().items():
        tensor = state.get(name)
        if tensor is None or not tensor.is_floating_point() or torch.isfinite(tensor).all():
            continue
        if name in parameters or torch.isfinite(own).all():
            raise ConfigurationError(
                f'{where} holds weights that are no numbers (NaN or infinite), the first in '
                f'{naming.format(name)}'
            )
