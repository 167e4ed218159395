"""The command lines of the tools: arguments in, one sentence out for a user's mistake."""

import argparse
import json
import os
import os.path as osp
import sys
from typing import Callable, List, Optional

from mmengine.config import DictAction
from mmengine.dist import is_main_process

from edudistill_mm.apis.ranks import another_has_failed, print_error_once
from edudistill_mm.config.load import load_config
from edudistill_mm.config.stretch import stretch
from edudistill_mm.cost.curriculum_table import curriculum_table
from edudistill_mm.datasets import SOURCES
from edudistill_mm.engine.disk_space import full_disk_told
from edudistill_mm.engine.sudden_ends import sentence_of
from edudistill_mm.errors import ConfigurationError, Preempted, TrainingError
from edudistill_mm.export.export_student import export_student, grade_of_export

from .benchmark import benchmark as run_benchmark
from .benchmark import load_benchmark
from .compare import compare as run_compare
from .compare import describe_plan
from .comparison.plan import Plan
from .convert_mdistiller import DATA_SETS, NETWORKS
from .convert_mdistiller import convert_mdistiller as run_convert_mdistiller
from .prepare_data import prepare_data as run_prepare_data
from .report import report as run_report
from .teachers import train_teachers as run_train_teachers
from .test import test as run_test
from .test_teachers import teachers_table
from .test_teachers import test_teachers as run_test_teachers
from .train import prepare_runtime
from .train import train as run_train
from .warnings_once import warnings_once

# EX_TEMPFAIL of sysexits.h: to be tried again. 143 would be that of a run that SIGTERM has killed.
PREEMPTED = 75
EPOCHS_OF_RUN = (
    'length of the run; grades, schedules, warm-ups and times of hooks keep their proportions, '
    'teachers their own length'
)


def _parser(description: str, launcher: bool = False, epochs: str = '') -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override values of the config, lists as key="[a,b]"; data_root=FOLDER applies to all data sets',
    )
    if epochs:
        parser.add_argument('--epochs', type=int, metavar='N', help=epochs)
    if launcher:
        parser.add_argument('--work-dir', help='folder for logs and results')
        parser.add_argument(
            '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
        )
        # torch.distributed.launch passes the one or the other, depending on the version.
        parser.add_argument(
            '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS
        )
    return parser


def _run(command: Callable[[], None]) -> None:
    """Run a command; a user's mistake ends it with one sentence and status 2, a training that
    cannot go on with status 1, one that has made room for another with status 75."""
    try:
        with warnings_once():
            command()
    except Preempted as stop:
        again = 'the same command with --resume' if stop.to_resume else 'the same command'
        _end(f'{stop}; {again} goes on from there', PREEMPTED, 'stopped')
    except TrainingError as error:
        _end(str(error), 1)
    except ConfigurationError as error:
        _end(str(error))
    except Exception as error:
        # MMEngine's registries, for a misspelt type that is not part of the model.
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else ''
        if 'is not in the' in message:
            _end(message.split('. ')[0])
        if another_has_failed():
            # It waited for a process that has told the user why it ended.
            sys.exit(2)
        known = sentence_of(error)
        if known is None:
            raise
        _end(*known)


def _end(message: str, status: int = 2, kind: str = 'error') -> None:
    """End with one sentence, which one of several processes prints."""
    print_error_once(message, kind)
    sys.exit(status)


def train(argv: Optional[List[str]] = None) -> None:
    """``tools/train.py``."""
    parser = _parser('Train by a config', launcher=True, epochs=EPOCHS_OF_RUN)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to go on from; without a value the last one in the work dir',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 on a GPU, bfloat16 on a CPU; see optim_wrapper.dtype',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate during training'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the batch size by auto_scale_lr',
    )
    parser.add_argument(
        '--train-teachers',
        action='store_true',
        help='first train the teachers that have no checkpoint yet',
    )
    parser.add_argument(
        '--no-teacher-test',
        action='store_true',
        help='do not test the teachers on images of their classes first',
    )
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    def command() -> None:
        cfg = load_config(args.config, args.cfg_options, args.work_dir)
        if args.epochs is not None:
            stretch(cfg, args.epochs)
        prepare_runtime(cfg, args.launcher, args.amp)
        if args.no_validate:
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        if args.auto_scale_lr:
            if not cfg.get('auto_scale_lr'):
                raise ConfigurationError(
                    '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config'
                )
            cfg.auto_scale_lr.enable = True
        run_train(cfg, args.resume, args.train_teachers, not args.no_teacher_test)

    _run(command)


def test(argv: Optional[List[str]] = None) -> None:
    """``tools/test.py``."""
    parser = _parser('Test a checkpoint of any grade, or a plain student', launcher=True)
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument('--out', help='JSON file for the metrics')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: by tta_pipeline and tta_model of the config, or else the mean of '
        'the scores of an image and its mirror image',
    )
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    def command() -> None:
        cfg = load_config(args.config, args.cfg_options, args.work_dir)
        prepare_runtime(cfg, args.launcher)
        if args.out:
            # Before the test, not when its result is lost.
            if osp.isdir(args.out):
                raise ConfigurationError(f'--out must be a file, but "{args.out}" is a directory')
            os.makedirs(osp.dirname(args.out) or '.', exist_ok=True)
        metrics = run_test(cfg, args.checkpoint, args.tta)
        if args.out and is_main_process():
            with open(args.out, 'w') as file:
                json.dump(metrics, file, indent=2)

    _run(command)


def train_teachers(argv: Optional[List[str]] = None) -> None:
    """``tools/train_teachers.py``."""
    parser = _parser(
        'Train the teachers of a config that have no checkpoint yet',
        launcher=True,
        epochs='train each for N epochs; its schedule is stretched or cut to them',
    )
    parser.add_argument(
        '--only', nargs='+', metavar='NAME', help='the teachers to train (default: all)'
    )
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    def command() -> None:
        cfg = load_config(args.config, args.cfg_options, args.work_dir)
        prepare_runtime(cfg, args.launcher)
        written = run_train_teachers(cfg, args.only, args.epochs)
        if is_main_process():
            print(
                '\n'.join(['Trained:', *written])
                if written
                else 'Nothing to do: all checkpoints are there.'
            )

    _run(command)


def test_teachers(argv: Optional[List[str]] = None) -> None:
    """``tools/test_teachers.py``."""
    parser = _parser('Test the teachers of a config, each on its own classes')
    parser.add_argument(
        '--max-samples',
        type=int,
        help='images for each teacher, evenly over its classes (default: all)',
    )
    args = parser.parse_args(argv)

    def command() -> None:
        if args.max_samples is not None and args.max_samples < 1:
            raise ConfigurationError(
                f'--max-samples must be a positive integer, but got {args.max_samples}'
            )
        cfg = load_config(args.config, args.cfg_options)
        prepare_runtime(cfg)
        print(teachers_table(run_test_teachers(cfg, args.max_samples)))

    _run(command)


def export(argv: Optional[List[str]] = None) -> None:
    """``tools/export_student.py``."""
    parser = _parser('Export the student of a checkpoint as a plain MMPretrain model')
    parser.add_argument('checkpoint', help='checkpoint of any grade')
    parser.add_argument(
        'out', help='file to write, such as student.pth; the config goes to student.py'
    )
    args = parser.parse_args(argv)

    def command() -> None:
        cfg = load_config(args.config, args.cfg_options)
        with full_disk_told(os.path.dirname(args.out) or '.'):
            checkpoint, config = export_student(cfg, args.checkpoint, args.out)
        grade = grade_of_export(checkpoint)
        print(
            f'Wrote {checkpoint} and its config {config}.' + (f' It is {grade}.' if grade else '')
        )

    _run(command)


def print_curriculum(argv: Optional[List[str]] = None) -> None:
    """``tools/print_curriculum.py``."""
    parser = _parser('Print the table of the grades of a config', epochs=EPOCHS_OF_RUN)
    args = parser.parse_args(argv)

    def command() -> None:
        cfg = load_config(args.config, args.cfg_options)
        if args.epochs is not None:
            stretch(cfg, args.epochs)
        print(curriculum_table(cfg))

    _run(command)


def benchmark(argv: Optional[List[str]] = None) -> None:
    """``tools/benchmark.py``."""
    parser = _parser('Measure what education distillation costs, as ratios within one run')
    parser.add_argument(
        '--batch-size', type=int, default=128, help='images in a batch (default 128)'
    )
    parser.add_argument(
        '--repeats', type=int, default=10, help='measurements of each side (default 10)'
    )
    parser.add_argument(
        '--load',
        action='store_true',
        help='compare 20 grades and 50 teachers of 1000 classes to 3 grades and 3 teachers instead',
    )
    args = parser.parse_args(argv)

    def command() -> None:
        for name in ('batch_size', 'repeats'):
            if getattr(args, name) < 1:
                flag = f'--{name.replace("_", "-")}'
                raise ConfigurationError(
                    f'{flag} must be a positive integer, but got {getattr(args, name)}'
                )
        measure = load_benchmark if args.load else run_benchmark
        for name, ratio in measure(
            load_config(args.config, args.cfg_options), args.batch_size, args.repeats
        ):
            print(f'{ratio:6.3f}  {name}')

    _run(command)


def compare(argv: Optional[List[str]] = None) -> None:
    """``tools/compare.py``."""
    parser = argparse.ArgumentParser(
        description='Train the rows of a comparison, as far as they are not trained yet, and report'
    )
    parser.add_argument('plan', help='Python, YAML or JSON file with rows and seeds')
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        '--gpus',
        nargs='+',
        metavar='ID',
        help='spread the trainings over these GPUs, one on each at a time; a GPU named twice takes two',
    )
    places.add_argument('--jobs', type=int, default=1, help='trainings at a time (default 1)')
    parser.add_argument(
        '--rerun-changed',
        action='store_true',
        help='move runs whose config has changed aside and train them anew',
    )
    parser.add_argument(
        '--report-only', action='store_true', help='train nothing, report what is finished'
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='print rows, epochs, costs and commands only'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help="override values of all rows' configs, such as data_root=FOLDER",
    )
    args = parser.parse_args(argv)

    def command() -> None:
        if args.jobs < 1:
            raise ConfigurationError(f'--jobs must be at least 1, but got {args.jobs}')
        plan = Plan.from_file(args.plan, args.cfg_options)
        if args.dry_run:
            print(describe_plan(plan))
            return
        # Trainings side by side share the cores.
        threads = max(1, (os.cpu_count() or 1) // len(args.gpus or range(args.jobs)))
        common = {} if 'OMP_NUM_THREADS' in os.environ else {'OMP_NUM_THREADS': str(threads)}
        if args.gpus:
            environments = [{**common, 'CUDA_VISIBLE_DEVICES': gpu} for gpu in args.gpus]
        else:
            environments = [common] * args.jobs
        try:
            path, failed = run_compare(
                plan,
                environments,
                args.rerun_changed,
                not args.report_only,
                lambda line: print(line, flush=True),
            )
        except KeyboardInterrupt:
            print('interrupted; the same command goes on from here', file=sys.stderr)
            sys.exit(130)
        print(f'The report: {path}')
        if failed:
            names = '\n'.join(f'  {job.name}: {job.error}' for job in failed)
            print(f'error: {len(failed)} trainings failed:\n{names}', file=sys.stderr)
            sys.exit(1)

    _run(command)


def report(argv: Optional[List[str]] = None) -> None:
    """``tools/report.py``."""
    parser = argparse.ArgumentParser(
        description='Report a run: accuracies, costs, class groups, plots'
    )
    parser.add_argument('work_dir', help='its work dir')
    parser.add_argument('--out', help='folder for the report (default: WORK_DIR/report)')
    args = parser.parse_args(argv)
    _run(lambda: print(f'The report: {run_report(args.work_dir, args.out)}'))


def convert_mdistiller(argv: Optional[List[str]] = None) -> None:
    """``tools/convert_mdistiller.py``."""
    parser = argparse.ArgumentParser(
        description='Turn a checkpoint of RepDistiller or mdistiller into an MMPretrain model'
    )
    parser.add_argument('model', help=f'name of the network there: {", ".join(NETWORKS)}')
    parser.add_argument('checkpoint', help='checkpoint file, such as ckpt_epoch_240.pth')
    parser.add_argument(
        'out', help='file to write, such as resnet32x4.pth; the config goes to resnet32x4.py'
    )
    parser.add_argument(
        '--data-set',
        help=f'what it was trained on, one of {", ".join(DATA_SETS)} (default: by its number of classes)',
    )
    args = parser.parse_args(argv)

    def command() -> None:
        checkpoint, config = run_convert_mdistiller(
            args.model, args.checkpoint, args.out, args.data_set
        )
        print(f'Wrote {checkpoint} and its config {config}.')

    _run(command)


def prepare_data(argv: Optional[List[str]] = None) -> None:
    """``tools/prepare_data.py``."""
    parser = argparse.ArgumentParser(description='Download and unpack a data set of the configs')
    parser.add_argument('name', help=f'one of {", ".join(SOURCES)}')
    parser.add_argument(
        '--root',
        default='data',
        help='it goes to ROOT/NAME (default data/NAME, as in the configs)',
    )
    parser.add_argument('--url', help='a mirror of the official archive')
    args = parser.parse_args(argv)
    _run(lambda: print(f'It is in {run_prepare_data(args.name, args.root, args.url)}.'))
