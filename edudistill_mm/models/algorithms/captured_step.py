from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmpretrain.structures import DataSample
from packaging.version import Version
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from .captured_loss import CapturedLoss, autocast_without_cache

# What stays the same in a captured step of SGD; the rate alone may change.
CONSTANTS = ('momentum', 'dampening', 'weight_decay', 'nesterov', 'maximize')

# Older fused kernels compare strides of dimensions of size 1, or are not there.
SUITABLE_TORCH = Version(torch.__version__) >= Version('2.5')

Losses = dict[str, Tensor]


def make_cuda_graph(
    warm_up: Callable[[], object], step: Callable[[], Losses]
) -> Callable[[], Losses]:
    """Capture a step on a stream of its own, on which another function runs three times before.

    Returns:
        Callable: Replays the step, and returns the tensors that it returned when it was captured.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            warm_up()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        results = step()

    def replay() -> Losses:
        graph.replay()
        return results

    return replay


class CapturedStep(CapturedLoss):
    """Whole steps of an :class:`EducationDistill` under SGD, each captured as one CUDA graph.

    Forward and backward pass, clipping and the update are replayed at once, so that no kernel of
    them waits for Python. What a :class:`CapturedLoss` says of its steps holds here, too. Learning
    rates lie on the device and may change in each step; where another setting of the optimizer
    changes, the step is captured anew.

    Args:
        algorithm (EducationDistill): The algorithm.
        wrapper (LazyClipOptimWrapper): The wrapper of an optimizer that :meth:`suits`, with which
            :meth:`train_step` is called.
        make_graph (Callable): Takes a function that runs a step without its update, to warm up, and
            one that runs a whole step; returns a function that replays the second and returns what
            it did. Defaults to :func:`make_cuda_graph`.

    Raises:
        TrainingError: When it is called, if a part of the model cannot be captured after all.
    """

    updates = True

    def __init__(
        self,
        algorithm: Any,
        wrapper: Any,
        make_graph: Callable[..., Callable[[], Losses]] = make_cuda_graph,
    ) -> None:
        super().__init__(algorithm, make_graph)
        self.wrapper = wrapper
        _lay_out(wrapper.optimizer)
        self._rates: list[float] | None = None
        self._rates_on_device: Tensor | None = None
        self._kept: list[Tensor | None] = []

    @staticmethod
    def suits(optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer's step can be captured, with rates that change: SGD's own can."""
        return (
            type(optimizer) is SGD
            and SUITABLE_TORCH
            and not any(group['differentiable'] for group in optimizer.param_groups)
            # They run in Python.
            and not optimizer._optimizer_step_pre_hooks
            and not optimizer._optimizer_step_post_hooks
            and not _global_optimizer_pre_hooks
            and not _global_optimizer_post_hooks
        )

    def obstacle(self, data_samples: list[DataSample], batch_size: int) -> str | None:
        """See :meth:`CapturedLoss.obstacle`; hooks of an optimizer may have come later than this."""
        if not self.suits(self.wrapper.optimizer):
            return 'a hook of the optimizer runs in Python'
        return super().obstacle(data_samples, batch_size)

    def _kind_of(self, inputs: Tensor) -> Hashable:
        groups = self.wrapper.optimizer.param_groups
        constants = (tuple(group[name] for name in CONSTANTS) for group in groups)
        # What is replaced lies elsewhere.
        places = ((p.requires_grad, p.data_ptr()) for group in groups for p in group['params'])
        return super()._kind_of(inputs), *constants, *places, *map(id, self._momenta())

    def _momenta(self) -> list[Tensor | None]:
        """What the optimizer keeps of the parameters that it has updated."""
        return [state.get('momentum_buffer') for state in self.wrapper.optimizer.state.values()]

    def _graph_of(self, step: nn.Module, given: tuple[Tensor, ...]) -> Callable[..., Losses]:
        wrapper, algorithm, device = self.wrapper, self.algorithm, given[0].device
        groups = wrapper.optimizer.param_groups
        self._rates = None
        self._rates_on_device = torch.zeros(len(groups), device=device)
        # While they live, no others have their ids.
        self._kept = self._momenta()
        norms: list[Tensor | None] = []

        def losses_and_gradients() -> Losses:
            wrapper.optimizer.zero_grad()
            with autocast_without_cache(device.type):
                losses = step(*given)
            with torch.autocast(device.type, enabled=False):
                total, log_vars = algorithm.parse_losses(losses)
                total.backward()
            return {name: value.detach() for name, value in log_vars.items()}

        def whole_step() -> Losses:
            log_vars = losses_and_gradients()
            with torch.autocast(device.type, enabled=False), self._device_rates():
                norms[:] = [wrapper.clip()]
                wrapper.optimizer.step()
            # A step that is not captured must not add to these.
            wrapper.optimizer.zero_grad()
            return log_vars

        _load_kernels(groups, device)
        replay = self._make_graph(losses_and_gradients, whole_step)

        def run(*arguments: Tensor) -> Losses:
            for own, argument in zip(given, arguments, strict=True):
                own.copy_(argument)
            self._set_rates([group['lr'] for group in wrapper.optimizer.param_groups])
            log_vars = replay()
            wrapper._inner_count += 1
            wrapper.log_norm(norms[0])
            return dict(log_vars)

        return run

    def _set_rates(self, rates: list[float]) -> None:
        if rates != self._rates:
            assert self._rates_on_device is not None
            self._rates_on_device.copy_(torch.tensor(rates))
            self._rates = rates

    @contextmanager
    def _device_rates(self) -> Iterator[None]:
        """Let SGD read its rates from the device, as its fused kernel alone can."""
        assert self._rates_on_device is not None
        groups = self.wrapper.optimizer.param_groups
        kept = [{name: group[name] for name in ('lr', 'foreach', 'fused')} for group in groups]
        for group, rate in zip(groups, self._rates_on_device):
            group.update(lr=rate, foreach=False, fused=True)
        try:
            yield
        finally:
            for group, values in zip(groups, kept):
                group.update(values)


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Lay out what the optimizer keeps as the parameters are, which its fused kernel asks for.

    A run may have been resumed with another memory format.
    """
    for parameter, state in optimizer.state.items():
        momentum = state.get('momentum_buffer')
        if momentum is not None and momentum.stride() != parameter.stride():
            state['momentum_buffer'] = torch.empty_like(parameter).copy_(momentum)


def _load_kernels(groups: list[dict], device: torch.device) -> None:
    """Run the fused kernel once: in the middle of a capture is no time to load it."""
    for momentum in {group['momentum'] for group in groups}:
        parameter = nn.Parameter(torch.zeros(1, device=device))
        parameter.grad = torch.zeros_like(parameter)
        rate = torch.zeros((), device=device)
        SGD([parameter], lr=rate, momentum=momentum, fused=True).step()
