"""Iterations with real networks, against a loop by hand that a GPU captures: the limit."""

import importlib.util
import pickle
import tempfile
import time
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F

from edudistill_mm.errors import ConfigurationError

from .kept_answers import network
from .timed_run import TimedRun, own_runner
from .tiny import noise
from .turns import median_of, median_ratio, take_turns

SCRIPT = Path(__file__).resolve().parents[1] / 'gpu' / 'captured_loop.py'


def hand_limit_benchmark(
    batch_size: int = 64, repeats: int = 5, iterations: int = 400, depths: tuple = (20, 110)
) -> list[tuple[str, float]]:
    """Measure the wall clock of an iteration of KD with all answers kept, as a ratio.

    On a GPU both sides compute in bfloat16 and capture their steps; both clip gradients. The loop
    is that of tools/gpu/captured_loop.py.

    Args:
        batch_size (int): Images in a batch. Defaults to 64.
        repeats (int): Turns. Defaults to 5.
        iterations (int): Iterations of a turn. Defaults to 400.
        depths (tuple[int, int]): Depths of student and teacher. Defaults to ResNet-20 and
            ResNet-110.
    """
    count = batch_size * iterations
    changes = {
        'model.keep_answers': True,
        'model.channels_last': True,
        # All answers are kept after the first epoch.
        'train_dataloader.resident': dict(_delete_=True, views_per_image=1),
        'optim_wrapper.clip_grad': dict(max_norm=5),
    }
    if torch.cuda.is_available():
        changes['optim_wrapper.type'] = 'BFloat16OptimWrapper'
    student, teacher = (network(depth, 16) for depth in depths)
    with tempfile.TemporaryDirectory() as folder:
        runner = own_runner(Path(folder), count, batch_size, student, teacher, changes)
        own = TimedRun(runner, wall_clock)
        by_hand = _loop_by_hand(Path(folder), count, batch_size, iterations, depths[0])
        turns = take_turns(dict(own=own.epoch, hand=by_hand), repeats)
    return [
        ('iteration of KD with kept answers: this package / a captured loop by hand',
         median_ratio(turns, 'own', 'hand')),
        ('ms: this package', 1000 * median_of(turns, 'own')),
        ('ms: a captured loop by hand', 1000 * median_of(turns, 'hand')),
    ]  # fmt: skip


def wall_clock() -> float:
    """Seconds, when a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _captured_loop() -> ModuleType:
    if not SCRIPT.exists():
        raise ConfigurationError(
            f'the loop by hand is "{SCRIPT}", which only a checkout of the package has'
        )
    spec = importlib.util.spec_from_file_location('captured_loop', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _loop_by_hand(folder: Path, count: int, batch_size: int, iterations: int, depth: int):
    loop = _captured_loop()
    (folder / 'cifar-100-python').mkdir()
    pixels, labels = noise(count)
    raw = dict(data=pixels.transpose(0, 3, 1, 2).reshape(count, -1), fine_labels=labels.tolist())
    for split in ('train', 'test'):
        (folder / 'cifar-100-python' / split).write_bytes(pickle.dumps(raw))
    images = loop.Images(folder, count)
    net = loop.to_device(loop.ResNet(depth))
    answers = torch.randn(count, 100, dtype=torch.float16, device=loop.DEVICE)

    def loss(index: torch.Tensor, view: torch.Tensor) -> torch.Tensor:
        with loop.mixed():
            scores = net(images.batch(index, view))
        divergence = F.kl_div(
            F.log_softmax(scores / 4, 1),
            F.softmax(answers[index].float() / 4, 1),
            reduction='batchmean',
        )
        return 0.1 * F.cross_entropy(scores, images.labels[index]) + 0.9 * 16 * divergence

    step = loop.Step(net, loss, batch_size)

    def run() -> float:
        begin = wall_clock()
        for _ in range(iterations):
            index = torch.randint(count, (batch_size,), device=loop.DEVICE)
            step(0.01, index, index % loop.VIEWS)
        return (wall_clock() - begin) / iterations

    return run
