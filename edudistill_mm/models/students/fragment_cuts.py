"""Where a network can be cut, found by watching one forward pass."""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import nn

from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.models.network import dry_run


@dataclass(frozen=True)
class NetworkTrace:
    """What one forward pass of a classifier did.

    Args:
        order (dict[str, int]): For each module that ran, the place of its last run in the order of completion.
        calls (dict[str, int]): How often each module ran.
        shapes (dict[str, tuple | None]): Shape of each module's output; None if it is not a tensor.
        num_classes (int): Width of the output.
    """

    order: Dict[str, int]
    calls: Dict[str, int]
    shapes: Dict[str, Optional[Tuple[int, ...]]]
    num_classes: int


def trace(student: nn.Module, input_shape: Optional[Tuple[int, int, int]] = None) -> NetworkTrace:
    """Run a classifier once on a zero image and write down what its modules did.

    Args:
        student (nn.Module): An MMPretrain classifier.
        input_shape (tuple[int, int, int], optional): (C, H, W); see :func:`dry_run` for the default.

    Returns:
        NetworkTrace: The trace.

    Raises:
        ConfigurationError: If the classifier cannot be run, or has no output of shape [B, num_classes].
    """
    order: Dict[str, int] = {}
    calls: Dict[str, int] = {}
    shapes: Dict[str, Optional[Tuple[int, ...]]] = {}

    def watch(name: str):

        def hook(module, inputs, output):
            order[name] = sum(calls.values())
            calls[name] = calls.get(name, 0) + 1
            shapes[name] = tuple(output.shape) if isinstance(output, torch.Tensor) else None

        return hook

    def forward(image: torch.Tensor):
        for record in (order, calls, shapes):
            record.clear()
        return student(image, mode='tensor')

    handles = [module.register_forward_hook(watch(name)) for name, module in student.named_modules() if name]
    try:
        output = dry_run(student, forward, input_shape)
    except RuntimeError as error:
        raise ConfigurationError(
            f'architecture.student cannot be run on a zero image ({error}); give architecture.input_shape='
            f'(channels, height, width)') from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise ConfigurationError(
            f'architecture.student must return class scores of shape [batch, classes], but '
            f'{type(student).__name__} returns {tuple(getattr(output, "shape", ())) or type(output).__name__}')
    return NetworkTrace(order, calls, shapes, output.shape[1])


def _weighted_layers(module: nn.Module) -> int:
    return sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in module.modules())


def _units(student: nn.Module, seen: NetworkTrace) -> List[str]:
    """Names of the modules that a backbone runs one after another, containers opened."""

    def open_container(prefix: str, module: nn.Module) -> List[str]:
        names = []
        for name, child in module.named_children():
            path = f'{prefix}.{name}'
            if path in seen.order:
                names.append(path)
            else:
                names += open_container(path, child)
        return names

    names = open_container('backbone', student.backbone)
    while len(names) == 1 and isinstance(student.get_submodule(names[0]), nn.Sequential):
        names = open_container(names[0], student.get_submodule(names[0]))
    return sorted((name for name in names if seen.calls[name] == 1), key=seen.order.get)


def stages(student: nn.Module, seen: NetworkTrace) -> List[str]:
    """Names of the modules that end the stages of a convolutional backbone, in order.

    A stage is a run of modules with outputs of the same height and width. A stage without weights (a
    pooling) belongs to the one after it, and so does a stem, that is a first stage of fewer than four
    weighted layers; of fewer than two where there are just three stages, as in ResNet-8.
    """
    groups: List[List[str]] = []
    size = None
    for name in _units(student, seen):
        shape = seen.shapes[name]
        if shape is None or len(shape) != 4:
            continue
        if shape[2:] != size:
            groups.append([])
            size = shape[2:]
        groups[-1].append(name)

    def weight(group: Sequence[str]) -> int:
        return sum(_weighted_layers(student.get_submodule(name)) for name in group)

    merged: List[List[str]] = []
    carried: List[str] = []
    left = sum(weight(group) > 0 for group in groups)
    for group in groups:
        left -= weight(group) > 0
        group = carried + group
        light = weight(group) < (1 if merged else 2 if left == 2 else 4)
        if light and group[-1] != groups[-1][-1]:
            carried = group
        elif light and merged:
            merged[-1] += group
        else:
            merged.append(group)
            carried = []
    return [group[-1] for group in merged]


def automatic_cuts(student: nn.Module, seen: NetworkTrace, count: Optional[int]) -> List[str]:
    """Choose the modules that end the fragments of ``fragments='auto'``.

    Args:
        student (nn.Module): An MMPretrain classifier with a ``backbone``.
        seen (NetworkTrace): Its trace.
        count (int, optional): Number of fragments wanted; the stages are shared out evenly. Defaults to
            None: one fragment a stage.

    Returns:
        list[str]: One module name a fragment, the last of which ends the backbone.

    Raises:
        ConfigurationError: If the backbone has no stages, or fewer than ``count``.
    """
    if count == 1:
        return ['backbone']
    ends = stages(student, seen) if isinstance(getattr(student, 'backbone', None), nn.Module) else []
    if not ends or (count is not None and count > len(ends)):
        backbone = type(getattr(student, 'backbone', student)).__name__
        raise ConfigurationError(
            f'architecture.fragments="auto" finds {len(ends)} stages in {backbone}, but the curriculum needs '
            f'{count or "at least 1"} fragments; name the modules that end the fragments instead')
    count = count or len(ends)
    return [ends[round(len(ends) * (index + 1) / count) - 1] for index in range(count)]


def named_cuts(student: nn.Module, seen: NetworkTrace, names: Sequence[str]) -> List[str]:
    """Check the modules that a config names as ends of the fragments.

    Args:
        student (nn.Module): An MMPretrain classifier.
        seen (NetworkTrace): Its trace.
        names (Sequence[str]): Module names, with or without the leading ``backbone.``.

    Returns:
        list[str]: The full names.

    Raises:
        ConfigurationError: If a module does not exist, does not run exactly once, is out of order, or if
            the last one does not end the backbone.
    """
    cuts: List[str] = []
    for name in names:
        full = name if name in seen.order else f'backbone.{name}'
        modules = [path for path, _ in student.named_modules() if path]
        if full not in modules:
            raise ConfigurationError(
                f'architecture.fragments names "{name}", which is not a module of the student'
                f'{did_you_mean(name, [m.removeprefix("backbone.") for m in modules])}')
        if seen.calls.get(full, 0) != 1:
            raise ConfigurationError(
                f'architecture.fragments names "{name}", which runs {seen.calls.get(full, 0)} times in a '
                f'forward pass; name a module that runs once')
        if cuts and seen.order[full] <= seen.order[cuts[-1]]:
            raise ConfigurationError(
                f'architecture.fragments are out of order: "{name}" ends before '
                f'"{cuts[-1].removeprefix("backbone.")}"')
        cuts.append(full)
    if not cuts:
        raise ConfigurationError('architecture.fragments must name at least one module, but got []')
    later = [
        name for name in _units(student, seen)
        if seen.order[name] > seen.order[cuts[-1]] and not cuts[-1].startswith(f'{name}.')
        and _weighted_layers(student.get_submodule(name))]
    if later:
        raise ConfigurationError(
            f'architecture.fragments ends with "{names[-1]}", but "{later[-1].removeprefix("backbone.")}" runs after '
            f'it: the last fragment must end the backbone')
    return cuts
