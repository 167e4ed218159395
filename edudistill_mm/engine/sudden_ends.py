import os
from collections.abc import Iterator
from traceback import walk_tb

import torch
from mmengine.runner import BaseLoop, Runner, TestLoop, ValLoop

from edudistill_mm.errors import reason_of

# Messages of torch for a lack of memory without an error class of its own.
_NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    'DefaultCPUAllocator: not enough memory',
    'CUDA error: out of memory',
    'CUDA out of memory',
    'CUBLAS_STATUS_ALLOC_FAILED',
)
_NO_SHARED_MEMORY = "It is possible that dataloader's workers are out of shared memory"
_NO_FIXED_ORDER = 'does not have a deterministic implementation'
_WORKER_KILLED = 'is killed by signal: Killed'


def sentence_of(error: BaseException) -> tuple[str, int] | None:
    """The sentence for an error that a user can act upon, and the exit status; None for others."""
    loop = next(_locals_of(error, BaseLoop), None)
    status = 2 if loop is None else 1
    # A killed worker is the cause of the error that the loader raises.
    message = f'{error} {error.__cause__ or ""}'
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or any(
        text in message for text in _NO_MEMORY
    ):
        return _out_of_memory(error, loop), 1
    if _NO_SHARED_MEMORY in message:
        return (
            f'{_loader(loop)}: the workers are out of shared memory, which containers have little of: '
            f'give the container more (docker run --shm-size=8g), or set {_loader(loop)}.num_workers=0'
        ), 1
    if _WORKER_KILLED in message:
        return (
            f'{_loader(loop)}: a worker was killed, as the system does where memory runs out: set a '
            f'smaller {_loader(loop)}.num_workers or {_loader(loop)}.batch_size'
        ), 1
    if _NO_FIXED_ORDER in message:
        return (
            f'randomness.deterministic=True cannot be kept: {str(error).split()[0]} of torch has no fixed '
            f'order of sums on this device; use randomness.deterministic=False'
        ), status
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f'the package "{error.name}" is not there, which must be installed first', status
    if isinstance(error, ImportError) and 'install' in message:
        return reason_of(error), status
    if isinstance(error, OSError) and isinstance(error.filename, (str, os.PathLike)):
        reason = (error.strerror or reason_of(error)).lower()
        return f'"{error.filename}" cannot be used: {reason}', status
    return None


def _out_of_memory(error: BaseException, loop: BaseLoop | None) -> str:
    runner, loader = next(_locals_of(error, Runner), None), _loader(loop)
    where, size = '', ''
    if runner is not None:
        model = getattr(runner.model, 'module', runner.model)
        grade = getattr(getattr(model, 'grade', None), 'name', None)
        if loop is not None and not isinstance(loop, TestLoop):
            where = f' at iteration {runner.iter + 1}' + (f', grade "{grade}"' if grade else '')
        dataset = runner.cfg.get(loader)
        size = f' (it is {dataset.batch_size})' if dataset and dataset.get('batch_size') else ''
    advice = f'set a smaller {loader}.batch_size{size}'
    if loader == 'train_dataloader':
        advice += (
            '; with half of it, optim_wrapper.accumulative_counts=2 lets each step of the optimizer see '
            'as many images as before, and --resume goes on from the last checkpoint'
        )
    return f'out of memory{where} ({reason_of(error)[:200]}): {advice}'


def _loader(loop: BaseLoop | None) -> str:
    split = {ValLoop: 'val', TestLoop: 'test'}
    return f'{next((split[kind] for kind in split if isinstance(loop, kind)), "train")}_dataloader'


def _locals_of(error: BaseException, kind: type) -> Iterator:
    """Objects of a class whose methods the error has passed, the innermost first."""
    found = [frame.f_locals.get('self') for frame, _ in walk_tb(error.__traceback__)]
    return (one for one in reversed(found) if isinstance(one, kind))
