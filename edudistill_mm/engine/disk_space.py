"""Full disks: found before a training where possible, and explained in one sentence otherwise."""

import contextlib
import os
import os.path as osp
import shutil
from collections.abc import Iterator

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from ..distributed import unwrap_model
from ..errors import TrainingError, full_disk_error
from ..registry import MODELS
from .resume_state import optim_wrappers


@contextlib.contextmanager
def full_disk_told(folder: str) -> Iterator[None]:
    """Turn errors of writes to a full disk into a TrainingError; the run writes to ``folder``."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        full = full_disk_error(error)
        if full is None:
            raise
        what = f'"{full.filename}"' if full.filename else f'a file in "{folder}"'
        where = osp.dirname(full.filename) if full.filename else folder
        raise TrainingError(
            f'{what} cannot be written: {full.strerror}, {_amount(_free(where))} are free in '
            f'"{where}"; what was written before is whole: make room and go on from there'
        ) from error


def check_space(runner: Runner) -> None:
    """Refuse a training whose first checkpoint has no room; warn if those it keeps have none.

    The first checkpoint takes at least the weights and their averages. The estimate of all that a
    run keeps includes the optimizer's state, best checkpoints, plain students at full depth and
    one checkpoint more, because a checkpoint is removed only after the next one is written. All
    ranks must call it.
    """
    said: list[str | None] = [None]
    if is_main_process():
        said = [_too_little_space(runner)]
    broadcast_object_list(said)
    if said[0] is not None:
        raise TrainingError(said[0])


def _too_little_space(runner: Runner) -> str | None:
    """Why the first checkpoint cannot be written; a warning about later ones goes to the log."""
    writers = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    if not writers or '://' in (folder := writers[0].out_dir or runner.work_dir):
        return None
    writer, model = writers[0], unwrap_model(runner.model)
    weights = _bytes_of(model) + sum(
        _bytes_of(hook.ema_model) for hook in runner.hooks if isinstance(hook, EMAHook)
    )
    files = _files(folder)
    # The run overwrites the half-written files of a killed one.
    free = _free(folder) + sum(size for name, size in files.items() if name.endswith('.part'))
    if free < weights:
        return (
            f'a checkpoint of this run takes at least {_amount(weights)}, but {_amount(free)} are free '
            f'in "{folder}"; make room, or give another --work-dir'
        )
    checkpoint = weights + sum(_optimizer_state(wrapper) for wrapper in optim_wrappers(runner))
    student = weights if isinstance(model, MODELS.get('EducationDistill')) else 0
    kept = _number_kept(runner, writer)
    best = len(writer.save_best or ())
    total = (kept + 1) * checkpoint + best * weights + (kept + best + 1) * student
    if free + sum(files.values()) < total:
        runner.logger.warning(
            f'The disk may get full: {kept} checkpoints and {best} best ones take about '
            f'{_amount(total)}, and {_amount(free)} are free in "{folder}"; '
            'default_hooks.checkpoint.max_keep_ckpts says how many are kept'
        )
    return None


def _number_kept(runner: Runner, writer: CheckpointHook) -> int:
    loop = runner.train_loop
    by_epoch = isinstance(loop, EpochBasedTrainLoop) and writer.by_epoch
    length = loop.max_epochs if by_epoch else loop.max_iters
    written = length // writer.interval if writer.interval > 0 else 0
    written = max(written, int(writer.save_last))
    return min(written, writer.max_keep_ckpts) if writer.max_keep_ckpts > 0 else written


def _optimizer_state(wrapper: OptimWrapper) -> int:
    """Bytes of an optimizer's state; 0 for an unknown kind."""
    optimizer = wrapper.optimizer
    moments = 2 if 'betas' in optimizer.defaults else int(bool(optimizer.defaults.get('momentum')))
    return moments * sum(
        parameter.numel() * parameter.element_size()
        for group in optimizer.param_groups
        for parameter in group['params']
    )


def _bytes_of(module: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def _files(folder: str) -> dict[str, int]:
    """Sizes of the checkpoints and students in a folder, with those half written."""
    sizes = {}
    for place in (folder, osp.join(folder, 'students')):
        for entry in os.scandir(place) if osp.isdir(place) else ():
            if entry.name.endswith(('.pth', '.part')) and entry.is_file():
                sizes[entry.path] = entry.stat().st_size
    return sizes


def _free(folder: str) -> int:
    """Bytes that are free where a folder is, or will be."""
    folder = osp.abspath(folder)
    while not osp.exists(folder):
        folder = osp.dirname(folder)
    return shutil.disk_usage(folder).free


def _amount(size: int) -> str:
    for unit, factor in (('GB', 1e9), ('MB', 1e6)):
        if size >= factor:
            return f'{size / factor:.1f} {unit}'
    return f'{size / 1e3:.0f} kB'
