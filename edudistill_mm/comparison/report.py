"""The report of a single run."""

import os.path as osp
import shlex
from dataclasses import replace
from glob import escape, glob
from typing import Any

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.config.data import check_data
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.cost.filling import fillings
from edudistill_mm.cost.training_cost import TrainingCost, training_cost
from edudistill_mm.errors import ConfigurationError

from .about_devices import about_devices
from .row_result import RowResult, costs_of, spent_costs
from .run_record import RunRecord
from .write import about_filling, write_report


def report(work_dir: str, out: str | None = None) -> str:
    """Write the report of a run, finished or not, and return its path.

    Accuracies come from the logs of all sessions in the work dir, those that the logs lack from
    the last checkpoint; the costs are counted from the config. ``out`` is by default the folder
    ``report`` in the work dir.

    Raises:
        ConfigurationError: If there is no run in the work dir.
    """
    config = _last_config(work_dir)
    run = load_config(config, work_dir=work_dir)
    result, cost = _describe(run)
    record = RunRecord.read(work_dir, result.unit == 'epoch')
    about: list[str] = [f'Work dir: `{work_dir}`.']
    if (checkpoint := _last_checkpoint(work_dir)) is not None:
        meta = load_checkpoint_file(checkpoint).get('meta', {})
        if (education := meta.get('education')) is not None:
            record = _completed(record, result, education)
            for teacher in education['teachers']:
                digest = f', sha256 {teacher["sha256"]}' if teacher['sha256'] else ''
                about.append(
                    f'Teacher {teacher["name"]}: {len(teacher["classes"])} classes, '
                    f'`{teacher["source"]}`{digest}.'
                )
    seed: Any = (run.cfg.get('randomness') or {}).get('seed')
    command = f'python tools/train.py {shlex.quote(config)} --work-dir NEW_FOLDER'
    result.commands, result.runs = {seed: command}, {seed: record}
    about += about_devices([result])
    result.finished = record.end(result.length) in record.accuracy
    if cost is not None:
        spent_costs(result, cost)
        about += [about_filling(filling) for filling in fillings([(cost, cost.lengths, 1)])]
    if not result.finished:
        result.remarks.append(
            f'not finished: the figures are those of {result.unit} '
            f'{max(record.accuracy, default=0)} of {result.length}, the costs those of the whole training'
        )
    title = f'Report of {osp.basename(osp.normpath(work_dir))}'
    return write_report([result], out or osp.join(work_dir, 'report'), title, about)


def _last_config(work_dir: str) -> str:
    """The config of the last session that was a training; tests have sessions of their own."""
    for file in sorted(glob(osp.join(escape(work_dir), '*', 'vis_data', 'config.py')))[::-1]:
        if Config.fromfile(file).get('train_cfg') is not None:
            return file
    raise ConfigurationError(
        f'"{work_dir}" is no work dir of a training: it has no */vis_data/config.py with a train_cfg'
    )


def _describe(run: RunConfig) -> tuple[RowResult, TrainingCost | None]:
    cfg = run.cfg
    name = osp.basename(osp.normpath(cfg.work_dir))
    if run.is_education:
        curriculum = run.curriculum
        by_epoch = curriculum.by_epoch
        grades = [(grade.name, grade.length) for grade in curriculum.grades]
    else:
        loop = cfg.get('train_cfg') or {}
        by_epoch = 'max_epochs' in loop
        length = loop.get('max_epochs', loop.get('max_iters'))
        if length is None:
            raise ConfigurationError(f'the run in "{cfg.work_dir}" is no training')
        grades = [('', length)]
    result = RowResult(name, 'epoch' if by_epoch else 'iteration', grades, {}, {})
    try:
        check_data(run)
        cost = training_cost(run)
        result.cost = costs_of(cost)
    except ConfigurationError as error:
        result.remarks.append(f'the costs are not counted, because {error}')
        return result, None
    return result, cost


def _last_checkpoint(work_dir: str) -> str | None:
    if not osp.exists(osp.join(work_dir, 'last_checkpoint')):
        return None
    checkpoint = find_latest_checkpoint(work_dir)
    # The folder may have been moved since.
    places = (checkpoint, osp.join(work_dir, osp.basename(checkpoint)))
    return next(filter(osp.exists, places), None)


def _completed(record: RunRecord, result: RowResult, education: dict) -> RunRecord:
    """Add what the last checkpoint knows and the logs lack.

    That is the last validation of each grade of which the logs have none, and where early stopping
    has ended a grade. The newest validation was at ``validated``; those of earlier grades stand at
    the grade's end.
    """
    history, ended = education['history'], education.get('early_ends', {}).get('at', {})
    validations, jumps, begin = dict(record.validations), dict(record.jumps), 0
    for (name, _), end in zip(result.grades, result.borders):
        if name in ended:
            jumps[ended[name]] = end
        if name in history and not any(begin < at <= end for at in validations):
            validations[ended.get(name, min(end, education['validated']))] = dict(history[name])
        begin = end
    return replace(record, validations=dict(sorted(validations.items())), jumps=jumps)
