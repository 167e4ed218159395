"""Train by a config."""

import os.path as osp
from typing import Optional

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from edudistill_mm.errors import ConfigurationError

from .config import check_config, check_data, has_teachers, is_education
from .export import export_student
from .teachers import missing_teachers, train_teachers
from .test_teachers import TeacherReport, refuse_near_chance, report_teachers

TEST_IMAGES = 2000


def prepare_runtime(cfg: Config, launcher: str = 'none', amp: bool = False) -> None:
    """Set what depends on the machine: the launcher, and the default settings of data loaders.

    Args:
        cfg (Config): The config, changed in place.
        launcher (str): 'none' | 'pytorch' | 'slurm' | 'mpi'. Defaults to 'none'.
        amp (bool): Whether to train in mixed precision. Defaults to False.

    Raises:
        ConfigurationError: If mixed precision is asked for without a GPU.
    """
    cfg.launcher = launcher
    # The references of other grades get no gradient.
    cfg.find_unused_parameters = True
    if launcher != 'none' and not torch.cuda.is_available():
        # MMEngine's own set-up needs GPUs; it leaves a process group alone that exists.
        torch.distributed.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel', device_ids=None, find_unused_parameters=True
        )
    if amp:
        if not torch.cuda.is_available():
            raise ConfigurationError(
                '--amp needs a GPU, and there is none; leave it out to train in float32'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None:
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
            loader.setdefault('pin_memory', torch.cuda.is_available())


def train(
    cfg: Config,
    resume: Optional[str] = None,
    with_teachers: bool = False,
    with_teacher_test: bool = True,
) -> Runner:
    """Check a config, train by it, and export the student if it is an education run.

    Args:
        cfg (Config): What :func:`load_config` returned, and :func:`prepare_runtime` completed.
        resume (str, optional): A checkpoint to go on from, or 'auto' for the last one in
            ``work_dir``, if there is one. Defaults to None.
        with_teachers (bool): Whether to train teachers that have no checkpoint first. Defaults to
            False.
        with_teacher_test (bool): Whether to test each teacher on up to 2000 images first, and to
            stop if one is near chance. Not done when a run is resumed. Defaults to True.

    Returns:
        Runner: The runner, after training.

    Raises:
        ConfigurationError: For any mistake of the user, before the training.
    """
    check_config(cfg)
    check_data(cfg)
    if with_teachers and not has_teachers(cfg):
        raise ConfigurationError(
            f'--train-teachers needs a model with teachers, but model.type is "{cfg.model.get("type")}"'
        )
    if with_teachers:
        train_teachers(cfg)
    for teacher in missing_teachers(cfg):
        key = 'model.teacher_ckpt' if cfg.model.get('teacher') else 'model.teachers.INDEX.ckpt'
        raise ConfigurationError(
            f'the checkpoint "{teacher["ckpt"]}" of teacher "{teacher["name"]}" does not exist; '
            f'train it by --train-teachers, or name another by --cfg-options {key}=FILE'
        )
    if resume is not None:
        cfg.resume, cfg.load_from = True, None if resume == 'auto' else resume
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if is_education(cfg) and with_teacher_test and resume is None:
        _test_teachers(runner)
    runner.train()
    last = find_latest_checkpoint(cfg.work_dir)
    if is_education(cfg) and is_main_process() and last is not None:
        checkpoint, config = export_student(cfg, last, osp.join(cfg.work_dir, 'student.pth'))
        print_log(
            f'The plain MMPretrain student: {checkpoint}, its config: {config}', logger='current'
        )
    return runner


def _test_teachers(runner: Runner) -> None:
    """Print a line for each teacher; refuse one that is near chance."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model

    def progress(report: TeacherReport) -> None:
        print_log(report.line(), logger='current')
        refuse_near_chance(report)

    report_teachers(model, runner.cfg, TEST_IMAGES, progress)
