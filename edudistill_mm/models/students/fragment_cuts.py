"""Where a network can be cut, by the record of one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.models.network import dry_run

from .feature_layout import FeatureLayout, feature_of


@dataclass(frozen=True)
class NetworkTrace:
    """What one forward pass of a classifier did.

    Args:
        order (dict[str, int]): Place of each module's last run in the order of completion.
        calls (dict[str, int]): How often each module ran.
        features (dict[str, FeatureLayout]): Layout of the features of the modules that return any.
        num_classes (int): Width of the output.
        image_shape (tuple[int, int, int]): (C, H, W) of the image.
    """

    order: dict[str, int]
    calls: dict[str, int]
    features: dict[str, FeatureLayout]
    num_classes: int
    image_shape: tuple[int, int, int]


def trace(student: nn.Module, input_shape: tuple[int, int, int] | None = None) -> NetworkTrace:
    """Run a classifier once on a zero image (C, H, W) and record what its modules did."""
    order: dict[str, int] = {}
    calls: dict[str, int] = {}
    outputs: dict[str, torch.Size | None] = {}
    image_shape = torch.Size()

    def watch(name: str):

        def hook(module, inputs, output):
            order[name] = sum(calls.values())
            calls[name] = calls.get(name, 0) + 1
            feature = feature_of(output, image_shape[0])
            outputs[name] = None if feature is None else feature.shape

        return hook

    def forward(image: torch.Tensor):
        nonlocal image_shape
        image_shape = image.shape
        for record in (order, calls, outputs):
            record.clear()
        return student(image, mode='tensor')

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in student.named_modules()
        if name
    ]
    try:
        output = dry_run(student, forward, input_shape)
    except RuntimeError as error:
        backbone = type(getattr(student, 'backbone', student))
        if '.selfsup.' in backbone.__module__ or '.sparse_' in backbone.__module__:
            raise ConfigurationError(
                f'architecture.student.backbone of type {backbone.__name__} is one of self-supervised '
                f'pretraining, whose forward pass wants masks ({error}); use the one that its checkpoints '
                f'are fine-tuned with'
            ) from error
        raise ConfigurationError(
            f'architecture.student cannot be run on a zero image ({error}); give architecture.input_shape='
            f'(channels, height, width)'
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    # ConformerHead returns the scores of both its branches.
    scores = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(scores, torch.Tensor) or scores.ndim != 2:
        raise ConfigurationError(
            f'architecture.student must return class scores of shape [batch, classes], but '
            f'{type(student).__name__} returns '
            f'{tuple(getattr(scores, "shape", ())) or type(scores).__name__}'
        )
    _, channels, height, width = image_shape
    features = {
        name: FeatureLayout.of(shape, (height, width))
        for name, shape in outputs.items()
        if shape is not None
    }
    return NetworkTrace(order, calls, features, scores.shape[1], (channels, height, width))


def _weighted_layers(module: nn.Module) -> int:
    return sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in module.modules())


def open_module(student: nn.Module, seen: NetworkTrace, name: str) -> list[str]:
    """Names of the modules that a module runs, in order; containers that do not run are opened."""
    names: list[str] = []
    for child, _ in student.get_submodule(name).named_children():
        path = f'{name}.{child}'
        names += [path] if path in seen.order else open_module(student, seen, path)
    return sorted((name for name in names if seen.calls[name] == 1), key=seen.order.__getitem__)


def units(student: nn.Module, seen: NetworkTrace) -> list[str]:
    """Names of the modules that a backbone runs one after another, a wrapper around all opened."""
    names = open_module(student, seen, 'backbone')
    while len(names) == 1 and open_module(student, seen, names[0]):
        names = open_module(student, seen, names[0])
    return names


def _chain(student: nn.Module, seen: NetworkTrace, names: Sequence[str]) -> list[str]:
    """The units with features, less side branches.

    A side branch has a lower resolution than a later unit with weights.
    """
    chain: list[str] = []
    highest = 0
    for name in reversed(names):
        module = student.get_submodule(name)
        if name not in seen.features or isinstance(module, nn.Identity):
            continue
        positions = seen.features[name].positions
        if positions >= highest:
            chain.insert(0, name)
            if _weighted_layers(module):
                highest = positions
    return chain


def _stages(student: nn.Module, seen: NetworkTrace, chain: Sequence[str]) -> list[list[str]]:
    """Units of each stage: a run of modules with features of the same resolution.

    A stage without weights (a pooling) belongs to the one after it, and so does a stem, that is a
    first stage of fewer than four weighted layers; of fewer than two where there are just three
    stages, as in ResNet-8.
    """
    groups: list[list[str]] = []
    resolution = None
    for name in chain:
        if seen.features[name].positions != resolution:
            groups.append([])
            resolution = seen.features[name].positions
        groups[-1].append(name)

    def weight(group: Sequence[str]) -> int:
        return sum(_weighted_layers(student.get_submodule(name)) for name in group)

    merged: list[list[str]] = []
    carried: list[str] = []
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
    return merged


def _blocks(student: nn.Module, seen: NetworkTrace, stage: Sequence[str]) -> list[str]:
    """Names of the modules that end the blocks of a stage.

    The blocks are the modules of one type in one container that hold the most weighted layers.
    Units without weights (a norm, an activation) of the same resolution belong to the block before
    them.
    """
    stage = list(stage)
    while True:
        weights = {name: _weighted_layers(student.get_submodule(name)) for name in stage}
        heavy = [name for name in stage if weights[name] > 1] or [
            name for name in stage if weights[name]
        ]
        kinds: dict[tuple[str, type], list[str]] = {}
        for name in heavy:
            kind = (name.rpartition('.')[0], type(student.get_submodule(name)))
            kinds.setdefault(kind, []).append(name)
        blocks = max(
            kinds.values(), key=lambda names: sum(map(weights.__getitem__, names)), default=[]
        )
        if len(blocks) != 1 or not isinstance(student.get_submodule(blocks[0]), nn.Sequential):
            break
        index = stage.index(blocks[0])
        stage[index : index + 1] = _chain(student, seen, open_module(student, seen, blocks[0]))
    ends = []
    for block in blocks:
        end = stage.index(block)
        while (
            end + 1 < len(stage)
            and not weights[stage[end + 1]]
            and seen.features[stage[end + 1]].positions == seen.features[block].positions
        ):
            end += 1
        ends.append(stage[end])
    return ends


def automatic_cuts(student: nn.Module, seen: NetworkTrace, count: int | None) -> list[str]:
    """Choose the modules that end the fragments of ``fragments='auto'``.

    The stages of the backbone, that is its parts of equal resolution, are shared out evenly; where
    the resolution never changes (ViT, MLP-Mixer, ConvMixer, ...), its blocks are. Without a
    ``count`` there is one fragment a stage, and of blocks four, as an ImageNet network has stages,
    or fewer.
    """
    if count == 1:
        return ['backbone']
    has_backbone = isinstance(getattr(student, 'backbone', None), nn.Module)
    names = units(student, seen) if has_backbone else []
    found = _stages(student, seen, _chain(student, seen, names))
    ends, kind, default = [stage[-1] for stage in found], 'stages', len(found)
    if len(found) == 1:
        blocks = _blocks(student, seen, found[0])
        if len(blocks) > 1:
            ends, kind, default = blocks, 'blocks', min(4, len(blocks))
    count = count or default
    if not ends or count > len(ends):
        backbone = type(getattr(student, 'backbone', student)).__name__
        raise ConfigurationError(
            f'architecture.fragments="auto" finds {len(ends)} {kind} in {backbone}, but the curriculum '
            f'needs {count or "at least 1"} fragments; name the modules that end the fragments instead'
        )
    cuts = [ends[round(len(ends) * (index + 1) / count) - 1] for index in range(count)]
    return cuts[:-1] + (_weighted_after(student, seen, cuts[-1])[-1:] or cuts[-1:])


def _weighted_after(student: nn.Module, seen: NetworkTrace, cut: str) -> list[str]:
    """Units with weights that a backbone runs after a module."""
    return [
        name
        for name in units(student, seen)
        if seen.order[name] > seen.order[cut]
        and not cut.startswith(f'{name}.')
        and _weighted_layers(student.get_submodule(name))
    ]


def named_cuts(student: nn.Module, seen: NetworkTrace, names: Sequence[str]) -> list[str]:
    """Resolve the fragments' ends that a config names, with or without ``backbone.``.

    Raises:
        ConfigurationError: Unless each runs once, in order, and the last one ends the backbone.
    """
    cuts: list[str] = []
    for name in names:
        full = name if name in seen.order else f'backbone.{name}'
        modules = [path for path, _ in student.named_modules() if path]
        if full not in modules:
            raise ConfigurationError(
                f'architecture.fragments names "{name}", which is not a module of the student'
                f'{did_you_mean(name, [m.removeprefix("backbone.") for m in modules])}'
            )
        if seen.calls.get(full, 0) != 1:
            raise ConfigurationError(
                f'architecture.fragments names "{name}", which runs {seen.calls.get(full, 0)} times in a '
                f'forward pass; name a module that runs once'
            )
        if cuts and seen.order[full] <= seen.order[cuts[-1]]:
            raise ConfigurationError(
                f'architecture.fragments are out of order: "{name}" ends before '
                f'"{cuts[-1].removeprefix("backbone.")}"'
            )
        cuts.append(full)
    if not cuts:
        raise ConfigurationError(
            'architecture.fragments must name at least one module, but got []'
        )
    later = _weighted_after(student, seen, cuts[-1])
    if later:
        raise ConfigurationError(
            f'architecture.fragments ends with "{names[-1]}", but '
            f'"{later[-1].removeprefix("backbone.")}" runs after it: the last fragment must end the backbone'
        )
    return cuts
