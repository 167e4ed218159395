import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edudistill_mm.checkpoint.log_once import log_once
from edudistill_mm.errors import ConfigurationError, did_you_mean

from .fragment_cuts import NetworkTrace
from .residual_blocks import ResidualBlock, residual_blocks

NEW_BLOCKS = ('identity', 'copy', 'keep')


def _pass_by(inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The forward pass of a block that is not active yet."""
    return inputs


def check_loading(new_blocks: str | None) -> None:
    """Refuse weights from elsewhere if later blocks become zero; say so if they become copies."""
    if new_blocks == 'identity':
        raise ConfigurationError(
            'architecture.new_blocks is "identity", its default, with which later blocks begin with '
            'zeros, but the student starts from weights that are loaded; "keep" keeps them, "copy" '
            'copies the block before at a promotion'
        )
    if new_blocks == 'copy':
        log_once(
            'architecture.new_blocks is "copy", with which later blocks become copies of those before '
            'at their promotion, whatever is loaded for them; "keep" keeps it'
        )


class BlockGrowth:
    """Growth inside the stages: which blocks of a student each fragment adds.

    A block that is not active hands its input on. Nothing is built or removed at a promotion.

    Args:
        student (nn.Module): The classifier.
        blocks (Sequence[Sequence[ResidualBlock]]): The blocks that each fragment adds; those of
            the first one, and all other modules, always run.
    """

    def __init__(self, student: nn.Module, blocks: Sequence[Sequence[ResidualBlock]]) -> None:
        self.student = student
        self.blocks = [list(added) for added in blocks]
        self.names = [[block.name for block in added] for added in blocks]

    @classmethod
    def automatic(cls, student: nn.Module, seen: NetworkTrace, count: int | None) -> 'BlockGrowth':
        """Share the blocks of each stage out evenly.

        Fragment k of n ends with k / n of the blocks of each stage, rounded, and at least the
        first one; a first block of another shape counts. ``count`` defaults to the blocks of the
        longest stage, but three at most.
        """
        groups = _stages(student, seen, residual_blocks(student, seen))
        longest = max((len(group) for group in groups), default=0)
        network = type(getattr(student, 'backbone', student)).__name__
        if longest < 2 and count != 1:
            raise ConfigurationError(
                f'architecture.fragments="blocks" finds no stage of {network} with blocks that can be '
                f'passed by, which add to what they get and keep its shape; "auto" cuts between the '
                f'stages instead'
            )
        count = count or min(3, longest)
        ends = [[_share(len(group), k, count) for group in groups] for k in range(1, count + 1)]
        same = next((k for k in range(1, count) if ends[k] == ends[k - 1]), None)
        if same is not None:
            raise ConfigurationError(
                f'architecture.fragments="blocks" shares the stages of {network}, of up to {longest} '
                f'blocks, out to {count} fragments, but fragment {same + 1} would add none; at most '
                f'{longest} fragments are possible, or name the blocks that each adds'
            )
        starts = [[0] * len(groups), *ends]
        return cls(
            student,
            [
                [
                    block
                    for group, begin, end in zip(groups, starts[k], ends[k])
                    for block in group[begin:end]
                    if isinstance(block, ResidualBlock)
                ]
                for k in range(count)
            ],
        )

    @classmethod
    def named(
        cls, student: nn.Module, seen: NetworkTrace, fragments: Sequence[Sequence[str]]
    ) -> 'BlockGrowth':
        """Take the names of the blocks that each fragment adds, with or without ``backbone.``."""
        possible = {block.name: block for block in residual_blocks(student, seen)}
        short = [name.removeprefix('backbone.') for name in possible]
        blocks: list[list[ResidualBlock]] = []
        taken: dict[str, int] = {}
        for index, names in enumerate(fragments):
            key = f'architecture.fragments[{index}]'
            blocks.append([])
            for name in names:
                full = name if name in possible else f'backbone.{name}'
                if full not in possible:
                    raise ConfigurationError(
                        f'{key} names "{name}", which is no block that can be passed by'
                        f'{did_you_mean(name, short)}; possible are {", ".join(short) or "none"}'
                    )
                if full in taken:
                    raise ConfigurationError(
                        f'{key} names "{name}", which fragment {taken[full] + 1} adds already'
                    )
                taken[full] = index
                blocks[-1].append(possible[full])
            if index and not names:
                raise ConfigurationError(f'{key} is empty; a fragment adds at least one block')
        left = [block for name, block in possible.items() if name not in taken]
        return cls(student, [blocks[0] + left, *blocks[1:]])

    @property
    def num_fragments(self) -> int:
        """int: Number of fragments."""
        return len(self.blocks)

    def passed_by(self, depth: int) -> list[str]:
        """Names of the blocks that are not active while ``depth`` fragments are."""
        return [name for names in self.names[depth:] for name in names]

    def set_depth(self, depth: int) -> None:
        """Let the blocks of the first ``depth`` fragments run, and pass the others by."""
        passed = set(self.passed_by(depth))
        for name in self.passed_by(0):
            block = self.student.get_submodule(name)
            # On the object alone: names, parameters and hooks stay.
            if name in passed:
                block.forward = _pass_by
            elif 'forward' in vars(block):
                del block.forward

    def begin_as_identity(self, depth: int = 1) -> None:
        """Zero what makes the blocks of all fragments behind the first ``depth`` identities."""
        with torch.no_grad():
            for block in (block for added in self.blocks[depth:] for block in added):
                module = self.student.get_submodule(block.name)
                for name in block.zeros:
                    module.get_parameter(name).zero_()

    def copy_from_before(self, old: int, new: int) -> None:
        """Start the blocks that are added from one depth to another as copies.

        Each gets the tensors of the nearest block before it that is active at the old depth, or
        has just been started, and has tensors of the same names and shapes.
        """
        started = {name for names in self.names[:old] for name in names}
        added = {name for names in self.names[old:new] for name in names}
        order = [name for name, _ in self.student.named_modules() if name in started | added]
        for index, name in enumerate(order):
            if name not in added:
                continue
            mine = self.student.get_submodule(name).state_dict()
            for other in reversed(order[:index]):
                theirs = self.student.get_submodule(other).state_dict()
                if other in started and _shapes(theirs) == _shapes(mine):
                    for key, tensor in mine.items():
                        tensor.copy_(theirs[key])
                    break
            started.add(name)


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _share(size: int, part: int, count: int) -> int:
    return max(1, math.floor(size * part / count + 0.5))


def _stages(
    student: nn.Module, seen: NetworkTrace, blocks: Sequence[ResidualBlock]
) -> list[list[ResidualBlock | str]]:
    """The blocks of each stage, in order, with the name of a block of another shape before them.

    A stage is what one container holds from one change of shape to the next.
    """
    by_name = {block.name: block for block in blocks}
    kinds: dict[str, set[type]] = {}
    for name in by_name:
        container = name.rpartition('.')[0]
        kinds.setdefault(container, set()).add(type(student.get_submodule(name)))
    stages: list[list[ResidualBlock | str]] = []
    for container, types in kinds.items():
        children = [
            f'{container}.{child}'
            for child, module in student.get_submodule(container).named_children()
            if type(module) in types and f'{container}.{child}' in seen.order
        ]
        stages.append([])
        for name in sorted(children, key=seen.order.__getitem__):
            if name not in by_name and stages[-1]:
                stages.append([])
            stages[-1].append(by_name.get(name, name))
    return stages
