"""Short school runs in processes of their own, which are killed at a chosen moment and resumed.

The process forks, so that nothing has to be imported again; the child runs ``tools/train.py``'s
own command line.
"""

import logging
import os
import random
import resource
import signal
import socket
import sys
import traceback
import zlib
from pathlib import Path

import mmengine.config.config
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS
from mmrazor.utils import register_all_modules
from networks import build, kd_distiller, resnet
from run_tool import run_tool
from surroundings import needs_fork
from toy_images import DATASETS, ToyImages

# Once, not in each child.
register_all_modules(init_default_scope=False)

COUNTS = (6, 5, 4, 5, 3, 4)
EPOCHS = (2, 1, 2)  # 3, 3, 5, 7 and 7 batches of 4 images
ITERATIONS = (4, 3, 5)


@TRANSFORMS.register_module(force=True)
class Jitter:
    """Draws from all generators that transforms of MM projects draw from."""

    def __call__(self, results):
        shape = results['img'].shape
        noise = (
            torch.randn(shape).numpy() * 8 + np.random.uniform(-8, 8, shape) + random.random() * 8
        )
        results['img'] = np.clip(results['img'] + noise, 0, 255).astype(np.uint8)
        return results


@DATASETS.register_module(force=True)
class JitteredImages(ToyImages):
    """Toy images that are augmented at random."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pipeline.transforms.insert(0, TRANSFORMS.build(dict(type='Jitter')))
        self.pipeline.transforms.insert(
            1, TRANSFORMS.build(dict(type='mmpretrain.RandomFlip', prob=0.5))
        )


@DATASETS.register_module(force=True)
class PipedImages(ToyImages):
    """Toy images with a pipeline that the config gives."""

    def __init__(self, pipeline, **kwargs):
        super().__init__(**kwargs)
        self.pipeline = Compose(pipeline)


@HOOKS.register_module(force=True)
class Witness(Hook):
    """Leaves a checksum of each batch in the log history, and kills the process, or does something
    else, where it is told to."""

    priority = 'HIGHEST'
    kill_before = kill_after = then = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        images = data_batch['inputs']
        images = images if isinstance(images, torch.Tensor) else torch.stack(images)
        runner.message_hub.update_scalar('train/batch', zlib.crc32(images.numpy().tobytes()))
        if runner.iter == Witness.kill_before:
            Witness.then()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == Witness.kill_after:
            Witness.then()


def write_config(
    folder,
    by_epoch=True,
    ema=None,
    accumulate=1,
    workers=0,
    persistent=False,
    keep=2,
    interval=1,
    lengths=None,
    stop=None,
    keep_answers=None,
    growth=None,
):
    """Write the config of a run of three grades with dropped paths and random augmentation.

    With ``keep_answers`` its training data are resident; False keeps nothing of them. ``growth``
    holds further arguments of the student.
    """
    folder = Path(folder)
    lengths = lengths or (EPOCHS if by_epoch else ITERATIONS)
    teachers, grades = [], []
    for seed, name in enumerate(('low', 'mid', 'high')):
        file = folder / f'{name}.pth'
        torch.save(dict(state_dict=build(resnet(2), seed).state_dict()), file)
        teachers.append(dict(name=name, architecture=resnet(2), ckpt=str(file), classes=name))
        length = {'epochs' if by_epoch else 'iters': lengths[seed]}
        grades.append(
            dict(
                name=name,
                fragments=seed + 1,
                classes=2,
                teachers=[name],
                optimizer='reset' if seed == 1 else 'keep',
                **length,
            )
        )
    student = resnet()
    student['backbone']['drop_path_rate'] = 0.3
    if growth:
        student = dict(type='FragmentedStudent', student=student, **growth)

    def loader(sampler, dataset):
        return dict(
            batch_size=4,
            num_workers=workers,
            persistent_workers=persistent,
            sampler=sampler,
            dataset=dict(type=dataset, counts=COUNTS),
        )

    if by_epoch:
        loop = dict(by_epoch=True, max_epochs=sum(lengths), val_interval=1)
    else:
        loop = dict(by_epoch=False, max_iters=sum(lengths), val_interval=3)
    hooks = [dict(type='GradeSchedulerHook'), dict(type='Witness')]
    hooks += [hook for hook in (ema, stop) if hook is not None]
    config = Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=dict(imports=['killed_runs'], allow_failed_imports=False),
            model=dict(
                type='EducationDistill',
                architecture=student,
                teachers=teachers,
                distiller=kd_distiller(),
                curriculum=dict(num_classes=6, grades=grades),
                data_preprocessor=dict(
                    type='ClsDataPreprocessor', mean=[60.0] * 3, std=[60.0] * 3
                ),
            ),
            train_dataloader=loader(dict(type='GradeSampler'), 'JitteredImages'),
            val_dataloader=loader(dict(type='DefaultSampler', shuffle=False), 'ToyImages'),
            train_cfg=loop,
            val_cfg=dict(),
            val_evaluator=[dict(type='Accuracy', topk=1), dict(type='GradeAccuracy')],
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.05, momentum=0.9),
                accumulative_counts=accumulate,
            ),
            param_scheduler=dict(
                type='CosineAnnealingLR',
                T_max=loop.get('max_epochs', loop.get('max_iters')),
                by_epoch=by_epoch,
                convert_to_iter_based=by_epoch,
            ),
            custom_hooks=hooks,
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(
                    type='CheckpointHook',
                    interval=interval,
                    by_epoch=by_epoch,
                    max_keep_ckpts=keep,
                    save_best='accuracy/top1',
                ),
            ),
            log_processor=dict(by_epoch=by_epoch),
            randomness=dict(seed=None),
        ),
        format_python_code=False,
    )
    if keep_answers is not None:
        config.train_dataloader.resident = True
        # 18 views
        config.train_dataloader.dataset.type = 'PipedImages'
        config.train_dataloader.dataset.pipeline = [
            dict(type='RandomCrop', crop_size=8, padding=1),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ]
        config.model.keep_answers = keep_answers
    path = folder / 'school.py'
    config.dump(path)
    return path


# ---- moments
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def before_iteration(number, then=kill):
    """Kill before the step of an iteration, with its batch loaded."""

    def arm():
        Witness.kill_before, Witness.then = number, staticmethod(then)

    return arm


def after_iteration(number, then=kill):
    """Kill after the step of an iteration, before what follows it."""

    def arm():
        Witness.kill_after, Witness.then = number, staticmethod(then)

    return arm


def at_log_line(words, then=kill, times=1):
    """Kill in the moment in which a line is to be logged for the ``times``-th time."""

    def arm():
        seen = []
        plain = logging.getLogRecordFactory()

        def record(*args, **kwargs):
            record = plain(*args, **kwargs)
            if str(record.msg).startswith(words):
                seen.append(record)
                if len(seen) == times:
                    then()
            return record

        logging.setLogRecordFactory(record)

    return arm


def at_byte(offset, words='Saving checkpoint', times=1):
    """Let the system kill the process when it writes beyond a byte of a file, after a log line."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (offset, offset))

    return at_log_line(words, limit, times)


def at_call(name, times=1, after=False):
    """Kill before or after the ``times``-th call of a function of ``os``."""

    def arm():
        plain, calls = getattr(os, name), []

        def function(*args, **kwargs):
            calls.append(args)
            if len(calls) == times and not after:
                kill()
            result = plain(*args, **kwargs)
            if len(calls) == times:
                kill()
            return result

        setattr(os, name, function)

    return arm


# ---- processes
def run(config, work_dir, *options, moment=None, processes=1):
    """Train in forked processes by the command line of ``tools/train.py``.

    Args:
        config (Path): The config file.
        work_dir (Path): The work dir.
        options (str): Further arguments.
        moment (Callable, optional): Arms the death of each process.
        processes (int): How many processes train together.

    Returns:
        tuple[int, str]: The exit status of the first process (minus the signal that ended it) and
        what it printed; after that, the same of the others.
    """
    needs_fork()
    Path(work_dir).mkdir(parents=True, exist_ok=True)
    outputs = [
        Path(work_dir).parent / f'{Path(work_dir).name}_{rank}.txt' for rank in range(processes)
    ]
    argv = [str(config), '--work-dir', str(work_dir), '--no-teacher-test', *options]
    if processes > 1:
        argv += ['--launcher', 'pytorch']
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        children.append(os.fork())
        if children[-1] == 0:
            if processes > 1:
                os.environ.update(
                    RANK=str(rank),
                    LOCAL_RANK=str(rank),
                    WORLD_SIZE=str(processes),
                    MASTER_ADDR='127.0.0.1',
                    MASTER_PORT=str(port),
                )
            _train(argv, outputs[rank], moment)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    texts = [output.read_text() for output in outputs]
    for output in outputs:
        output.unlink()
    others = zip(statuses[1:], texts[1:])
    return statuses[0], ''.join([texts[0], *(f'\n{text}status {code}' for code, text in others)])


def _train(argv, output, moment):
    """What a child does until its end."""
    status = 1
    try:
        # pytest has replaced both.
        sys.stdout = sys.stderr = open(output, 'a', buffering=1)  # noqa: SIM115, to the end
        # Prettily formatted configs take more time than the training.
        mmengine.config.config.FormatCode = lambda text, **_: (text, True)
        if moment is not None:
            moment()
        run_tool('train', argv)
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        # Not into pytest's own clean-up.
        os._exit(status)


def last_checkpoint(work_dir):
    """The last checkpoint of a run, read."""
    path = Path((Path(work_dir) / 'last_checkpoint').read_text().strip())
    return torch.load(Path(work_dir) / path.name, weights_only=True)


# What depends on the clock, the folder and the state of the repository.
DIFFERENT = ('time', 'data_time', 'cfg', 'experiment_name', 'memory', 'mmengine_version')


def differences(one, other, path=''):
    """The places in which two checkpoints are not equal bit for bit."""
    name = path.rsplit('.', 1)[-1].rsplit('/', 1)[-1]
    if name in DIFFERENT:
        return []
    if type(one) is not type(other):
        return [path]
    if isinstance(one, dict):
        if list(one) != list(other):
            return [f'{path}: {set(one) ^ set(other) or "order"}']
        return [
            place for key in one for place in differences(one[key], other[key], f'{path}.{key}')
        ]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [path]
        return [
            place
            for index, (a, b) in enumerate(zip(one, other))
            for place in differences(a, b, f'{path}.{index}')
        ]
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return [] if same and one.numpy().tobytes() == other.numpy().tobytes() else [path]
    if isinstance(one, str) and name in ('last_ckpt', 'best_ckpt'):
        one, other = os.path.basename(one), os.path.basename(other)
    return [] if one == other else [path]
