"""Train the unfinished rows of a comparison, and report."""

import json
import os.path as osp
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint
from tqdm import tqdm

from edudistill_mm.apis.folder_lock import hold_folder
from edudistill_mm.apis.teachers import check_trainable, former_recipe, teacher_config
from edudistill_mm.apis.tool_path import tool_path
from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.checkpoint.files import file_sha256
from edudistill_mm.config.plain_distillation import MARK, as_written
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.cost.filling import fillings
from edudistill_mm.cost.training_cost import training_cost
from edudistill_mm.engine.disk_space import full_disk_told
from edudistill_mm.engine.preemption import SIGNALS
from edudistill_mm.engine.shared_datasets import shared_datasets
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.settings import difference, settings, without_guards

from .about_devices import about_devices
from .beginning import check_beginning
from .job import Job
from .job_queue import JobQueue
from .options import as_arguments
from .plan import MEASURES, Plan
from .prepared_row import PreparedRow, prepare_rows
from .row_result import RowResult, costs_of, grades_of, spent_costs
from .run_record import RunRecord
from .weight_files import weights_in_files
from .write import about_filling, write_report

STARTED, RESULT, FAILURE = 'run.json', 'result.json', 'failure.json'
Say = Callable[[str], None]


def compare(
    plan: Plan,
    places: Sequence[Mapping[str, str]] = ({},),
    rerun_changed: bool = False,
    train: bool = True,
    say: Say = print,
) -> tuple[str, list[Job]]:
    """Train what a plan lacks and write its report; returns the report's path and the failed jobs.

    Finished runs are recognised by their ``result.json`` and left alone, interrupted ones go on.
    Each teacher without a checkpoint is trained once, before the rows that need it. ``places`` are
    environment variables; a run at a time takes each. ``rerun_changed`` moves runs aside whose
    config, teachers or starting weights have changed since, and trains them anew, instead of refusing.

    Raises:
        ConfigurationError: For any mistake in the plan or a config, before anything is trained.
    """
    rows = prepare_rows(plan)
    with (
        full_disk_told(plan.work_dir),
        hold_folder(plan.work_dir, 'comparison, or a run that it has left behind,') as lock,
    ):
        if any(stage.kept for row in rows for stage in row.cost.stages):
            # Where runs find it, so that rows share what their teachers have answered.
            (Path(plan.work_dir) / 'answers').mkdir(exist_ok=True)
        jobs = _jobs(plan, rows, rerun_changed) if train else []
        if jobs:
            say(
                f'{len(jobs)} trainings to do, {len(places)} at a time; logs are in {plan.work_dir}'
            )
            with _ended_by_signals():
                JobQueue(places, say, lock).run(jobs)
        results = [_result(plan, row) for row in rows]
        about = [
            f'Seeds: {", ".join(map(str, plan.seeds))}. '
            f'Command: `python tools/compare.py {shlex.quote(plan.file)}`.',
            *about_devices(results),
            *_about_answers(plan, rows),
        ]
        report = write_report(results, plan.work_dir, plan.title, about, plan.baselines)
    return report, [job for job in jobs if job.error]


def describe_plan(plan: Plan) -> str:
    """What a plan is going to train: its teachers, and each row with costs, states and a command.

    A mistake at which a run that is to be trained would end before its first step is raised as
    ConfigurationError; it names the row.
    """
    rows = prepare_rows(plan)
    with shared_datasets():
        for prepared in tqdm(rows, 'trying first steps', unit=' rows', leave=False, disable=None):
            if all(
                (_folder(plan, prepared, seed) / RESULT).exists() for seed in prepared.row.seeds
            ):
                continue
            try:
                check_beginning(prepared.run)
            except ConfigurationError as error:
                raise ConfigurationError(f'row "{prepared.row.name}": {error}') from error
    lines = [f'{job.name}: to do' for job in _teacher_jobs(plan, rows).values()]
    for prepared in rows:
        cost = costs_of(prepared.cost, prepared.lengths)
        states = [
            f'seed {seed} {_state(_folder(plan, prepared, seed), prepared)}'
            for seed in prepared.row.seeds
        ]
        lines += [
            f'{prepared.row.name}: {" + ".join(map(str, prepared.lengths))} '
            f'{"epochs" if prepared.cost.by_epoch else "iterations"}, '
            f'{cost["image_passes"]:,} image passes, student {cost["student_flops"]:.4g} FLOPs, '
            f'teachers {cost["teacher_flops"]:.4g} FLOPs, in all {cost["total_flops"]:.4g} FLOPs; '
            f'{", ".join(states)}',
            f'    {shlex.join(_command(plan, prepared, prepared.row.seeds[0]))}',
        ]
    return '\n'.join([*lines, *_about_answers(plan, rows)])


def _about_answers(plan: Plan, rows: Sequence[PreparedRow]) -> list[str]:
    """A sentence for each table of kept answers that the rows fill."""
    trainings = [(row.cost, row.lengths, len(row.row.seeds)) for row in rows]
    return [about_filling(filling) for filling in fillings(trainings)]


def _jobs(plan: Plan, rows: Sequence[PreparedRow], rerun_changed: bool) -> list[Job]:
    teachers = _teacher_jobs(plan, rows)
    jobs = []
    # Seed after seed, so that all rows have a first result early.
    for seed in plan.seeds:
        for prepared in rows:
            if seed not in prepared.row.seeds:
                continue
            missing = prepared.original.missing_teachers
            needed = [teachers[osp.abspath(teacher['ckpt'])] for teacher in missing]
            job = _run_job(plan, prepared, seed, needed, rerun_changed)
            if job is not None:
                jobs.append(job)
    needed = [job for job in teachers.values() if any(job in other.after for other in jobs)]
    return [*needed, *jobs]


def _teacher_jobs(plan: Plan, rows: Sequence[PreparedRow]) -> dict[str, Job]:
    """A job for each teacher that has to be trained, by the path of its checkpoint."""
    jobs: dict[str, Job] = {}
    recipes: dict[str, tuple[str, dict]] = {}
    for prepared in rows:
        for teacher in prepared.original.teachers:
            ckpt = teacher.get('ckpt')
            if not ckpt or '://' in ckpt:
                continue
            path, name = osp.abspath(ckpt), prepared.row.name
            if path not in recipes and osp.exists(path):
                before = former_recipe(ckpt)
                if before is None:
                    continue  # brought by the user
                recipes[path] = ('the existing file', settings(before, training_only=True))
            cfg = teacher_config(prepared.original, teacher)
            recipe = settings(cfg, training_only=True)
            if path in recipes:
                other, known = recipes[path]
                change = difference(recipe, known)
                if change is not None:
                    raise ConfigurationError(
                        f'row "{name}" trains the teacher "{ckpt}" by another config than {other}: '
                        f'{change}; give one of them another ckpt'
                    )
            recipes.setdefault(path, (f'row "{name}"', recipe))
            if not osp.exists(path) and path not in jobs:
                try:
                    check_trainable(teacher)
                except ConfigurationError as error:
                    raise ConfigurationError(f'row "{name}": {error}') from error
                jobs[path] = _teacher_job(plan, prepared, teacher, cfg)
    return jobs


def _teacher_job(plan: Plan, prepared: PreparedRow, teacher: dict, cfg: Config) -> Job:
    cost, ckpt = training_cost(RunConfig(cfg)), teacher['ckpt']

    def finish() -> str | None:
        return None if osp.exists(ckpt) else f'it has left no checkpoint "{ckpt}"'

    name = osp.splitext(osp.basename(ckpt))[0]
    command = _teachers_command(prepared, '--only', teacher['name'])
    return Job(
        name=f'teacher {name}',
        command=[sys.executable, tool_path('train_teachers'), *command[2:]],
        log=Path(plan.work_dir) / 'teachers' / f'{name}.log',
        work=cost.total_flops(),
        progress=lambda: RunRecord.read(cfg.work_dir, cost.by_epoch).progress / sum(cost.lengths),
        finish=finish,
    )


def _run_job(
    plan: Plan, prepared: PreparedRow, seed: int, after: list[Job], rerun_changed: bool
) -> Job | None:
    """The job that trains a row with a seed; None if it is finished."""
    folder = _folder(plan, prepared, seed)
    name, by_epoch = f'{prepared.row.name}, seed {seed}', prepared.cost.by_epoch
    change = _change_since(folder, prepared)
    if change is not None:
        if not rerun_changed:
            raise ConfigurationError(
                f'row "{name}" was trained in "{folder}" by another config: {change}; name the '
                'row otherwise, or train it anew by --rerun-changed, which moves the former '
                'run aside'
            )
        _move_aside(folder)
    if (folder / RESULT).exists():
        return None

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        _write_json(
            folder / STARTED,
            dict(
                command=shlex.join(_command(plan, prepared, seed)),
                settings=settings(prepared.run.cfg),
                networks=prepared.networks,
                weights=weights_in_files(prepared.run.cfg),
                teachers={
                    teacher['ckpt']: file_sha256(teacher['ckpt'])
                    for teacher in prepared.run.teachers
                    if osp.isfile(teacher.get('ckpt') or '')
                },
            ),
        )

    def finish() -> str | None:
        record = RunRecord.read(folder, by_epoch)
        if record.end(prepared.length) not in record.accuracy:
            return (
                f'its logs in "{folder}" have no accuracy/top1 of the last of {prepared.length} '
                f'{"epochs" if by_epoch else "iterations"}; val_evaluator needs an Accuracy, and '
                'default_hooks.logger and vis_backends must write it'
            )
        _write_json(folder / RESULT, asdict(record))
        return None

    def fail(reason: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / FAILURE, dict(reason=reason))

    command = _command(plan, prepared, seed)
    if _can_resume(folder, prepared):
        command = [*command, '--resume']
    return Job(
        name=name,
        command=[sys.executable, tool_path('train'), *command[2:]],
        log=folder / 'train.log',
        work=prepared.cost.total_flops(prepared.lengths)
        + prepared.cost.filling_flops(prepared.lengths),
        progress=lambda: RunRecord.read(folder, by_epoch).progress / prepared.length,
        after=after,
        prepare=prepare,
        finish=finish,
        fail=fail,
    )


def _change_since(folder: Path, prepared: PreparedRow) -> str | None:
    """How the config of a row differs from the one that its run in a folder has been trained by."""
    # A new run spoils nothing where there is neither result nor checkpoint.
    begun = (folder / RESULT).exists() or (folder / 'last_checkpoint').exists()
    if not begun or not (folder / STARTED).exists():
        return None
    started = json.loads((folder / STARTED).read_text())
    before = without_guards(started['settings'])
    cfg, kind = prepared.run.cfg, before['model'].get('type')
    if (folder / RESULT).exists() and kind == cfg.get(MARK):
        # An earlier version has trained it by MMRazor's own class, with the same result.
        cfg = as_written(cfg)
    return (
        difference(settings(cfg), before)
        # Earlier versions have not noted them.
        or difference(prepared.networks, started.get('networks', prepared.networks))
        or _changed_weights(started.get('weights', {}))
        or _changed_teacher(started['teachers'], prepared.run)
    )


def _state(folder: Path, prepared: PreparedRow) -> str:
    change = _change_since(folder, prepared)
    if change is not None:
        return f'trained by another config ({change})'
    return 'finished' if (folder / RESULT).exists() else 'to do'


def _can_resume(folder: Path, prepared: PreparedRow) -> bool:
    """Whether to go on from a checkpoint.

    MMEngine saves before it validates. A plain run that ended between the two of its last epoch
    would resume into nothing and never have its last accuracy: it begins anew.
    """
    last = find_latest_checkpoint(str(folder)) if (folder / 'last_checkpoint').exists() else None
    if last is None or not osp.exists(last):
        return False
    complete = osp.basename(last).endswith(f'_{prepared.length}.pth')
    validated = prepared.length in RunRecord.read(folder, prepared.cost.by_epoch).accuracy
    return validated or not complete or prepared.run.is_education


def _changed_weights(before: Mapping[str, str]) -> str | None:
    for path, sha256 in before.items():
        # Weights from which a finished run has started need not be kept.
        if osp.isfile(path) and file_sha256(path) != sha256:
            return f'"{path}", from which it starts, is another file'
    return None


def _changed_teacher(before: Mapping[str, str], run: RunConfig) -> str | None:
    for teacher in run.teachers:
        ckpt = teacher.get('ckpt') or ''
        if ckpt in before and osp.isfile(ckpt) and file_sha256(ckpt) != before[ckpt]:
            return f'the teacher\'s checkpoint "{ckpt}" is another file'
    return None


def _move_aside(folder: Path) -> None:
    number = 1
    while (aside := folder.with_name(f'{folder.name}.former{number}')).exists():
        number += 1
    folder.rename(aside)


def _result(plan: Plan, prepared: PreparedRow) -> RowResult:
    result = RowResult(
        name=prepared.row.name,
        unit='epoch' if prepared.cost.by_epoch else 'iteration',
        grades=grades_of(prepared.run, prepared.lengths),
        cost=costs_of(prepared.cost, prepared.lengths),
        commands={seed: shlex.join(_command(plan, prepared, seed)) for seed in prepared.row.seeds},
    )
    if any(
        osp.exists(osp.join(osp.splitext(teacher.get('ckpt') or '')[0], 'config.py'))
        for teacher in prepared.original.teachers
    ):
        result.teacher_commands.append(shlex.join(_teachers_command(prepared)))
    if list(prepared.lengths) != prepared.cost.lengths:
        ((measure, budget),) = (prepared.row.budget or {}).items()
        ask = f'that of "{budget}"' if isinstance(budget, str) else f'{budget:,}'
        result.remarks.append(
            f'{result.length} instead of {sum(prepared.cost.lengths)} {result.unit}s, because its '
            f'budget of {MEASURES[measure]} is {ask}'
        )
    for seed in prepared.row.seeds:
        folder = _folder(plan, prepared, seed)
        if (folder / RESULT).exists():
            result.runs[seed] = RunRecord.from_dict(json.loads((folder / RESULT).read_text()))
            # Where nothing is trained, nothing has been refused.
            change = _change_since(folder, prepared)
            if change is not None:
                result.remarks.append(f'seed {seed} was trained by another config: {change}')
    spent_costs(result, prepared.cost)
    unfinished: dict[str | None, list[str]] = {}
    for seed in prepared.row.seeds:
        if seed not in result.runs:
            failure = _folder(plan, prepared, seed) / FAILURE
            reason = json.loads(failure.read_text())['reason'] if failure.exists() else None
            unfinished.setdefault(reason, []).append(str(seed))
    result.finished = not unfinished
    for reason, seeds in unfinished.items():
        names = f'seed {", ".join(seeds)}'
        result.remarks.append(
            f'not finished: {names}' if reason is None else f'{names} failed: {reason}'
        )
    return result


def _folder(plan: Plan, prepared: PreparedRow, seed: int) -> Path:
    return Path(plan.work_dir) / prepared.row.slug / f'seed_{seed}'


def _command(plan: Plan, prepared: PreparedRow, seed: int) -> list[str]:
    folder = str(_folder(plan, prepared, seed))
    options = _cfg_options({**prepared.options, 'randomness.seed': seed})
    return ['python', 'tools/train.py', prepared.row.config, '--work-dir', folder, *options]


def _teachers_command(prepared: PreparedRow, *arguments: str) -> list[str]:
    # Budgets and seeds are those of the students alone.
    options = _cfg_options(prepared.row.options)
    return ['python', 'tools/train_teachers.py', prepared.row.config, *arguments, *options]


def _cfg_options(options: Mapping[str, Any]) -> list[str]:
    return ['--cfg-options', *as_arguments(options)] if options else []


def _write_json(file: Path, content: Any) -> None:
    text = json.dumps(content, indent=1)
    atomic_write(str(file), lambda opened: opened.write(text.encode()))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 end this process and its runs as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
