"""The model of a plain student's config, compared with the student of the run."""

from functools import reduce

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.func import functional_call

from edudistill_mm.checkpoint.state_dict_checks import state_dict_mismatch
from edudistill_mm.models.network import build_network, dry_run
from edudistill_mm.models.students import FragmentedStudent


def build_plain(plain: Config) -> nn.Module:
    """Build a plain student's model with its preprocessor as ``mmpretrain.get_model`` does."""
    model = plain.model.to_dict()
    if plain.get('data_preprocessor') is not None:
        model['data_preprocessor'] = plain.data_preprocessor.to_dict()
    return build_network(model, 'model.architecture')


def load_difference(model: nn.Module, state: dict[str, Tensor]) -> str | None:
    """Load the whole state of a model; the first difference, a part of a sentence, or None."""
    difference = state_dict_mismatch(model.state_dict(), state)
    if difference is not None:
        return difference
    # Not strict: some networks take tables that they compute themselves out of what they load.
    more = model.load_state_dict(state, strict=False).unexpected_keys
    return f'it has {len(more)} tensors more, the first is "{more[0]}"' if more else None


def gives_same_scores(
    model: nn.Module, student: FragmentedStudent, state: dict[str, Tensor]
) -> bool:
    """Whether a plain model and a run's student at its current grade give the same class scores.

    Both see the same two images of noise. ``state`` holds tensors that the student has for the
    comparison instead of its own, such as averaged weights.
    """

    def scores(network: nn.Module, tensors: dict[str, Tensor]) -> Tensor:
        # A sum is rounded in the order in which the numbers lie in memory. Of a 1x1 convolution,
        # contiguous() would keep the strides, by which the order is chosen.
        tensors = {
            name: tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in {**dict(network.named_parameters()), **tensors}.items()
        }

        def forward(image: Tensor) -> Tensor:
            noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
            inputs = (noise.to(image.device),)
            output = functional_call(network, tensors, inputs, dict(mode='tensor'))
            return reduce(torch.add, output) if isinstance(output, tuple) else output

        return dry_run(network, forward, student.trace.image_shape)

    # One device computes in one way; NaN and infinity must be comparable, too.
    device = next((p.device for p in student.parameters()), torch.device('cpu'))
    state = {name: tensor.to(device) for name, tensor in state.items()}
    plain, own = scores(model.to(device), {}), scores(student, state)
    return torch.equal(plain.nan_to_num(), own.nan_to_num())
