"""Train by a config."""

import contextlib
import logging
import os
import os.path as osp

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.data import check_data
from edudistill_mm.config.plain_distillation import follow_loop
from edudistill_mm.config.precision import check_compile, prepare_precision
from edudistill_mm.config.ranks import wrap_for_ranks
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.runtime_settings import check_packages
from edudistill_mm.config.stretch import unfinished_schedule
from edudistill_mm.distributed import unwrap_model
from edudistill_mm.engine.join_ranks import join_ranks
from edudistill_mm.engine.runner import EducationRunner
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.export_student import export_student
from edudistill_mm.export.preparation import next_stage, preparation_of

from .closing_lines import closing_lines
from .run_folder import in_its_folder
from .teacher_recipe import check_teacher_training
from .teachers import other_recipes, train_teachers
from .test_teachers import TeacherReport, refuse_near_chance, report_teachers

TEST_IMAGES = 2000


class _Begun(Exception):
    """The run is ready for its first step."""


class _BeginHook(Hook):
    """Ends a run before its first step."""

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Raise _Begun."""
        raise _Begun


def prepare_runtime(cfg: Config, launcher: str = 'none', amp: bool = False) -> None:
    """Set what depends on the machine: ranks, mixed precision, default settings of data loaders.

    Args:
        cfg (Config): The config, changed in place.
        launcher (str): 'none' | 'pytorch' | 'slurm' | 'mpi'. Defaults to 'none'.
        amp (bool): Whether to train in mixed precision. Defaults to False.

    Raises:
        ConfigurationError: If mixed precision is not possible here, or the launcher has not
            started this process.
    """
    cfg.launcher = launcher
    if launcher != 'none':
        join_ranks(cfg, launcher)
        wrap_for_ranks(cfg)
    if (cfg.get('randomness') or {}).get('deterministic'):
        # Otherwise torch refuses the first product of matrices on a GPU.
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    prepare_precision(cfg, amp)
    check_compile(cfg)
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None:
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
            loader.setdefault('pin_memory', torch.cuda.is_available())


@in_its_folder
def train(
    run: RunConfig,
    resume: str | None = None,
    with_teachers: bool = False,
    with_teacher_test: bool = True,
    only_begin: bool = False,
) -> Runner:
    """Check a config, train by it, and export the student if it has a curriculum.

    Args:
        run (RunConfig): What :func:`load_config` returned, and :func:`prepare_runtime` completed.
        resume (str, optional): A checkpoint to go on from, or 'auto' for the last one in
            ``work_dir``, if there is one. Defaults to None.
        with_teachers (bool): Whether to train teachers that have no checkpoint first. Defaults to
            False.
        with_teacher_test (bool): Whether to test each teacher on up to 2000 images first, and to
            stop if one is near chance. Not done when a run is resumed. Defaults to True.
        only_begin (bool): Whether to stop before the first step. Defaults to False.

    Returns:
        Runner: The runner, after training.

    Raises:
        ConfigurationError: For any mistake of the user, before the training; or another run is at
            work in ``work_dir``.
        TrainingError: The training cannot go on, as on a full disk.
        Preempted: SIGTERM or SIGUSR1 has ended the run; ``resume='auto'`` goes on from what is
            saved.
    """
    cfg = run.cfg
    _check_complete(cfg)
    follow_loop(cfg)
    check_teacher_training(cfg)
    check_config(run)
    check_data(run)
    check_classes(run)
    if with_teachers:
        train_teachers(run)
    for teacher in run.missing_teachers:
        key = 'model.teacher_ckpt' if cfg.model.get('teacher') else 'model.teachers.INDEX.ckpt'
        raise ConfigurationError(
            f'the checkpoint "{teacher["ckpt"]}" of teacher "{teacher["name"]}" does not exist; '
            f'train it by --train-teachers, or name another by --cfg-options {key}=FILE'
        )
    remark = unfinished_schedule(cfg)
    if resume is not None:
        cfg.resume, cfg.load_from = True, None if resume == 'auto' else resume
    own = cfg.get('runner_type', 'Runner') in ('Runner', 'EducationRunner')
    runner = EducationRunner.from_completed_cfg(cfg) if own else RUNNERS.build(cfg)
    if remark is not None:
        runner.logger.warning(remark)
    for other in other_recipes(run):
        runner.logger.warning(other)
    if run.is_education and with_teacher_test and resume is None:
        _test_teachers(runner)
    if only_begin:
        runner.register_hook(_BeginHook())
    with contextlib.suppress(_Begun):
        runner.train()
    if only_begin:
        return runner
    last = find_latest_checkpoint(cfg.work_dir)
    if run.is_education and is_main_process() and last is not None:
        for line in _end(runner, run, last):
            print_log(line, logger='current')
    return runner


def _end(runner: Runner, run: RunConfig, last: str) -> list[str]:
    """Export the student of the last checkpoint, if it has one; returns what to say at the end."""
    reason = preparation_of(run.cfg)
    if reason is not None:
        return [f'No student is exported, because {reason}: {next_stage(last)}']
    student = export_student(run, last, osp.join(run.cfg.work_dir, 'student.pth'))
    return closing_lines(runner, run, last, student)


def _check_complete(cfg: Config) -> None:
    """Refuse a config without a part of training, or with only some of validation or testing."""
    check_packages(cfg)
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise ConfigurationError(f'{key} is missing, without which nothing can be trained')
    for split in ('val', 'test'):
        keys = [f'{split}_{part}' for part in ('dataloader', 'cfg', 'evaluator')]
        missing = [key for key in keys if cfg.get(key) is None]
        if 0 < len(missing) < 3:
            given = ', '.join(key for key in keys if key not in missing)
            raise ConfigurationError(f'{missing[0]} is missing, but there is {given}')


def _test_teachers(runner: Runner) -> None:
    """Print a line for each teacher; refuse one that is near chance."""

    def progress(report: TeacherReport) -> None:
        print_log(report.line(), logger='current')
        if report.remark:
            sentence = f'Teacher "{report.name}": {report.remark}'
            print_log(sentence, logger='current', level=logging.WARNING)
        refuse_near_chance(report)

    report_teachers(unwrap_model(runner.model), runner.cfg, TEST_IMAGES, progress)
