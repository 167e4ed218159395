"""Latency of a student beside that of its teachers."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from edudistill_mm.config.check_config import build_untrained
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.export.example_images import ExampleImages
from edudistill_mm.export.export_network import FORMATS
from edudistill_mm.export.plain_student import PlainStudent
from edudistill_mm.models.teachers import Teacher

BATCHES = (1, 32)
REPEATS = 15


def latency_table(run: RunConfig, checkpoint: str, out: str, format: str) -> str:
    """Time the student of a checkpoint, its exported file and the teachers on the CPU.

    All are timed in turns, so that what else the machine does meets all alike. Weights of teachers
    are not read: they change no latency.

    Args:
        run (RunConfig): What :func:`load_config` returned.
        checkpoint (str): A checkpoint of it, of any grade.
        out (str): The file that has been exported from it.
        format (str): Its format; a plain checkpoint of ``'mmpretrain'`` is the student itself.

    Returns:
        str: A table in Markdown: parameters in millions, medians in milliseconds, and how many
        times as long as the student each takes.
    """
    threads = torch.get_num_threads()
    found, examples = PlainStudent.of_checkpoint(run, checkpoint), ExampleImages.of_run(run.cfg)
    student = found.build(found.state).eval()
    networks: dict[str, tuple[int | None, Callable[[Tensor], object]]] = {
        'student': (_size(student), lambda x: student(x, mode='tensor'))
    }
    if format in FORMATS:
        networks[f'student, {format}'] = (None, FORMATS[format].load(out, threads))
    for teacher in build_untrained(run).eval().faculty.teachers:
        for member in teacher.members:
            if isinstance(member, Teacher):
                networks[f'teacher {member.name}'] = (
                    _size(member.network),
                    partial(_scores, member),
                )
    medians = {
        count: _medians(
            {name: network for name, (_, network) in networks.items()},
            examples.rgb[:1].expand(count, -1, -1, -1).contiguous(),
        )
        for count in BATCHES
    }
    columns = ''.join(f' batch {count}, ms | of the student |' for count in BATCHES)
    lines = [f'| network | parameters, M |{columns}', '|---|' + '---|' * (1 + 2 * len(BATCHES))]
    for name, (size, _) in networks.items():
        cells = [name, '' if size is None else f'{size / 1e6:.2f}']
        for times in medians.values():
            cells += [f'{times[name] * 1e3:.2f}', f'{times[name] / times["student"]:.2f}']
        lines.append(f'| {" | ".join(cells)} |')
    height, width = examples.images.shape[2:]
    lines += [
        '',
        f'Medians of {REPEATS} repeats in turns, images of {height}x{width}, device cpu, {threads} '
        f'{"thread" if threads == 1 else "threads"}, torch {torch.__version__}.',
    ]
    return '\n'.join(lines)


def _scores(teacher: Teacher, images: Tensor) -> Any:
    return teacher.network(teacher.inputs(images), mode='tensor')


def _size(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def _medians(networks: dict[str, Callable[[Tensor], object]], images: Tensor) -> dict[str, float]:
    """Seconds of one batch for each network; a first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(1 + REPEATS):
        for name, network in networks.items():
            start = time.perf_counter()
            network(images)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}
