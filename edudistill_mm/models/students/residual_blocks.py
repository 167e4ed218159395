"""Which blocks of a network can be passed by, found by running it once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edudistill_mm.models.network import dry_run

from .fragment_cuts import NetworkTrace, open_module


@dataclass(frozen=True)
class ResidualBlock:
    """A module that adds something to what it gets.

    Args:
        name (str): Its name in the student.
        zeros (tuple[str, ...]): Names, in the block, of the parameters that make it an identity
            where they are zero: the last norm, layer scale or projection of each branch.
    """

    name: str
    zeros: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    """One call of a module: its first input and its output as they were then."""

    args: tuple
    kwargs: dict
    given: tuple[int, int] | None
    output: Any
    left: tuple[int, int] | None


def residual_blocks(student: nn.Module, seen: NetworkTrace) -> list[ResidualBlock]:
    """The residual blocks of a classifier's backbone, in the order in which they run.

    A residual block returns one tensor of the shape of its first input, and just this input once
    the last parameters of its branches are zero; both are tried on the features of an image of
    noise. Of modules within one another the outermost counts; one that does no more than hand on
    features from child to child, such as a stage, is opened.
    """
    found: list[ResidualBlock] = []
    if not isinstance(getattr(student, 'backbone', None), nn.Module):
        return found

    def forward(image: Tensor) -> None:
        runs = _record(student, image)
        zeros: dict[tuple, tuple[str, ...]] = {}
        for name in _blocks(student, seen, runs, 'backbone'):
            block = student.get_submodule(name)
            kind = (type(block), *dict(block.named_parameters()))
            last = _last_parameters(block, runs[name], seen, name, zeros.get(kind))
            if last:
                zeros[kind] = last
                found.append(ResidualBlock(name, last))

    dry_run(student, forward, seen.image_shape)
    return found


def _record(student: nn.Module, image: Tensor) -> dict[str, _Run]:
    """Run a network on noise; the calls of the modules that run once."""
    calls: dict[str, list[_Run]] = {}
    started: dict[str, tuple[tuple, dict, tuple[int, int] | None]] = {}
    alive: list[Tensor] = []

    def identity(value: Any) -> tuple[int, int] | None:
        # Which tensor it is, and how often it has been overwritten.
        if not isinstance(value, Tensor):
            return None
        alive.append(value)
        return id(value), value._version

    def before(name: str):
        def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
            first = args[0] if args else None
            # Copied, as later modules may overwrite it.
            kept = (first.clone(), *args[1:]) if isinstance(first, Tensor) else args
            started[name] = kept, kwargs, identity(first)

        return hook

    def after(name: str):
        def hook(module: nn.Module, args: tuple, output: Any) -> None:
            calls.setdefault(name, []).append(_Run(*started[name], output, identity(output)))

        return hook

    handles = []
    for name, module in student.named_modules():
        if name.split('.')[0] == 'backbone':
            handles.append(module.register_forward_pre_hook(before(name), with_kwargs=True))
            handles.append(module.register_forward_hook(after(name)))
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    try:
        student(noise.to(image.device), mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    return {name: runs[0] for name, runs in calls.items() if len(runs) == 1}


def _blocks(
    student: nn.Module, seen: NetworkTrace, runs: dict[str, _Run], name: str
) -> Iterator[str]:
    """Names of the outermost modules in a module that may be residual blocks."""
    for child in open_module(student, seen, name):
        if _keeps_shape(runs.get(child)) and not _is_chain(student, seen, runs, child):
            module = student.get_submodule(child)
            if _passes(module, runs[child], dict(module.named_parameters())):
                yield child
                continue
        yield from _blocks(student, seen, runs, child)


def _keeps_shape(run: _Run | None) -> bool:
    return (
        run is not None
        and run.given is not None
        and run.left is not None
        and run.args[0].shape == run.output.shape
        and run.args[0].ndim > 2
    )


def _is_chain(student: nn.Module, seen: NetworkTrace, runs: dict[str, _Run], name: str) -> bool:
    """Whether a module does nothing but run its children, each on what the one before returns."""
    handed = runs[name].given
    children = [
        child
        for child in open_module(student, seen, name)
        # Others may run it later, as backbones run the norm at the end of a stage.
        if seen.order[child] < seen.order[name]
    ]
    for child in children:
        if child not in runs or runs[child].given != handed:
            return False
        handed = runs[child].left
    return bool(children) and handed == runs[name].left


def _passes(block: nn.Module, run: _Run, zeros: dict[str, nn.Parameter]) -> bool:
    """Whether a block returns what it gets while some of its parameters are zero."""
    kept = {name: parameter.clone() for name, parameter in zeros.items()}
    try:
        for parameter in zeros.values():
            parameter.zero_()
        given = run.args[0]
        # A block may overwrite its input.
        output = block(given.clone(), *run.args[1:], **run.kwargs)
    finally:
        for name, parameter in zeros.items():
            parameter.copy_(kept[name])
    scale = float(given.abs().max())
    return scale > 0 and torch.allclose(output, given, rtol=1e-5, atol=1e-6 * scale)


def _last_parameters(
    block: nn.Module,
    run: _Run,
    seen: NetworkTrace,
    name: str,
    alike: tuple[str, ...] | None,
) -> tuple[str, ...]:
    """The parameters that have to be zero in a block that passes, the last ones to run.

    ``alike`` are those of a block of the same kind, which are tried first.
    """
    parameters = dict(block.named_parameters())
    originals = {key: parameter.clone() for key, parameter in parameters.items()}
    generator = torch.Generator().manual_seed(0)

    def place(key: str) -> int:
        # Of a module that did not run by itself, that of the one around it.
        owner = f'{name}.{key}'.rpartition('.')[0]
        while owner not in seen.order:
            owner = owner.rpartition('.')[0]
        return seen.order[owner]

    try:
        # Any value must do, also in the place of those that happen to be zero now.
        for parameter in parameters.values():
            noise = torch.rand(parameter.shape, generator=generator) + 0.5
            parameter.copy_(noise.to(parameter))
        if alike and _passes(block, run, {key: parameters[key] for key in alike}):
            return alike
        zeros = dict(parameters)
        for key in sorted(parameters, key=place):
            rest = {other: zeros[other] for other in zeros if other != key}
            if _passes(block, run, rest):
                zeros = rest
        return tuple(key for key in parameters if key in zeros)
    finally:
        for key, parameter in parameters.items():
            parameter.copy_(originals[key])
