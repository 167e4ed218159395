"""Processes that train together by gloo, and what each of them has seen."""

import os
import socket
import time
import traceback

import matplotlib.pyplot  # noqa: F401  # what each forked process would import again
import torch
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmrazor.utils import register_all_modules
from surroundings import needs_fork
from torch import distributed

from edudistill_mm.apis.train import prepare_runtime

# MMEngine asks for it at the first module of MMRazor.
register_all_modules(init_default_scope=False)


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def run_processes(count, function, *arguments, fails=False, timeout=120):
    """Run ``function(rank, *arguments)`` in so many processes of one group; return what each has
    returned or, where it ``fails``, the error's text.

    The processes are forked: importing everything again would take longer than what they do.
    """
    needs_fork()
    context = mp.get_context('fork')
    results = context.SimpleQueue()
    port = free_port()
    processes = [
        context.Process(target=_child, args=(rank, count, port, results, function, arguments))
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    end, found = time.monotonic() + timeout, {}
    try:
        while len(found) < count:
            while not results.empty():
                rank, result = results.get()
                found[rank] = result
            assert time.monotonic() < end, f'processes hang; only {sorted(found)} have ended'
            dead = [p.exitcode for p in processes if p.exitcode not in (None, 0)]
            assert not dead, f'exit codes {dead}'
            time.sleep(0.02)
    finally:
        for process in processes:
            if len(found) < count:
                process.kill()
            process.join()
    for rank, (succeeded, result) in found.items():
        assert succeeded != fails, f'process {rank}: {result}'
    return [found[rank][1] for rank in range(count)]


def _child(rank, count, port, results, function, arguments):
    torch.set_num_threads(1)
    # What torchrun would set.
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(count),
        LOCAL_WORLD_SIZE=str(count),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
        OMP_NUM_THREADS='1',
        MKL_NUM_THREADS='1',
    )
    try:
        result = True, function(rank, *arguments)
    except Exception as error:
        result = False, error_text(error)
    # Plain values: tensors would be handed over in shared memory, which ends with this process.
    results.put((rank, result))
    if distributed.is_initialized():
        distributed.destroy_process_group()


def error_text(error):
    """An error as one string that begins with its type."""
    return ''.join(traceback.format_exception_only(error)).strip() + '\n' + traceback.format_exc()


class Witness(Hook):
    """Writes down the losses and the labels of each step of this process."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses, self.labels = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: float(value) for name, value in outputs.items()})
        samples = data_batch['data_samples']
        self.labels.append(torch.cat([sample.gt_label for sample in samples]).tolist())


def build_runner(config, launcher='pytorch'):
    """The runner of a config, in the group of this process or, by 'none', alone."""
    config = config.copy()
    prepare_runtime(config, launcher)
    runner = Runner.from_cfg(config)
    runner.witness = Witness()
    runner.register_hook(runner.witness)
    return runner


def train_together(rank, config, launcher='pytorch'):
    """Train; return the steps' losses, the labels and the weights of this process."""
    runner = build_runner(config, launcher)
    runner.train()
    return outcome(runner)


def outcome(runner):
    """The steps' losses, the labels and the weights of this process."""
    model = getattr(runner.model, 'module', runner.model)
    scalars = runner.message_hub.log_scalars
    return dict(
        metrics={
            name: value.current() for name, value in scalars.items() if name.startswith('val/seen')
        },
        losses=runner.witness.losses,
        labels=runner.witness.labels,
        weights={name: value.tolist() for name, value in model.state_dict().items()},
    )
