"""Train the teachers that a run needs and that have no checkpoint yet."""

import copy
import os
import os.path as osp
from collections.abc import Iterator, Sequence

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import EMAHook

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.data import DATALOADERS, check_data
from edudistill_mm.config.networks import network_config
from edudistill_mm.config.parts import is_missing, without_metric
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stretch import stretch, unfinished_schedule
from edudistill_mm.distributed import broadcast_from_main, unwrap_model
from edudistill_mm.engine.disk_space import full_disk_told
from edudistill_mm.engine.preemption import preemption
from edudistill_mm.engine.runner import EducationRunner
from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.settings import difference, settings

from .folder_lock import hold_folder
from .teacher_recipe import describe_recipe, give_recipe

# Keys of a config for the student and its teachers.
NOT_OF_TEACHERS = (
    'teacher_training',
    'curriculum',
    'distiller',
    'distill_warmup',
    'student',
    'input_shape',
    'teachers',
    'shares',
    'task_loss_weight',
    'plain_distillation',
)

# What has made a teacher what it is; the rest of a run's recipe often changes for the student.
TAUGHT = ('model', 'train_cfg', 'train_dataloader')
# What a teacher sees that was trained elsewhere.
OTHER_IMAGES = ('data_preprocessor', 'channel_order', 'input_size')


def teacher_config(run: RunConfig, teacher: dict, epochs: int | None = None) -> Config:
    """Derive the config that trains one teacher.

    It is the run's own config with the teacher's network and classes (an expert's are numbered
    from 0) in the place of student and curriculum, and the length, schedule and hooks that
    :func:`~edudistill_mm.apis.teacher_recipe.give_recipe` gives it. ``teacher_training`` of the
    config is merged into it; a ``param_scheduler`` there replaces the schedule.

    Args:
        run (RunConfig): An :class:`EducationDistill` run, or one of MMRazor's
            ``SingleTeacherDistill``.
        teacher (dict): One of its teachers.
        epochs (int, optional): Another length, to which the schedule is stretched or cut.
            Defaults to None.

    Returns:
        Config: A plain MMPretrain training config.

    Raises:
        ConfigurationError: If the teacher's classes are none of the curriculum, or something in
            ``teacher_training`` cannot be used.
    """
    cfg, classes = run.cfg, _part_of_classes(run, teacher)
    new = copy.deepcopy(cfg)
    for key in NOT_OF_TEACHERS:
        new.pop(key, None)
    new.model = network_config(teacher['architecture'], f'teacher "{teacher["name"]}"')
    if new.get('data_preprocessor') is not None:
        # The teacher sees the student's images; its own preprocessing never runs.
        new.model.pop('data_preprocessor', None)
        if classes is not None and 'num_classes' in new.data_preprocessor:
            new.data_preprocessor.num_classes = len(classes)
    if new.get('val_cfg') is not None:
        # MMRazor's validation loops need the student in a distillation algorithm.
        new.val_cfg = {k: v for k, v in new.val_cfg.items() if k not in ('type', '_scope_')}
    for split in ('train', 'val', 'test'):
        loader = new.get(f'{split}_dataloader')
        if loader is not None:
            loader.sampler = dict(type='DefaultSampler', shuffle=split == 'train')
        evaluator = new.get(f'{split}_evaluator')
        if evaluator is not None:
            new[f'{split}_evaluator'] = metrics = without_metric(evaluator, 'GradeAccuracy')
            for metric in metrics:
                if classes is not None and isinstance(metric.get('topk'), (list, tuple)):
                    metric['topk'] = tuple(k for k in metric['topk'] if k <= len(classes))
    give_recipe(new, cfg)
    if epochs is not None:
        new = stretch(RunConfig(new), epochs).cfg
    for loader in map(new.get, DATALOADERS if classes is not None else ()):
        if loader is not None:
            loader.dataset = dict(type='ClassSubset', dataset=loader.dataset, classes=classes)
    new.work_dir = osp.splitext(teacher['ckpt'])[0]
    # Runs of one process share MMEngine's logger and visualizer if they have one name.
    new.experiment_name = f'teacher_{osp.basename(new.work_dir)}'
    return new


def _part_of_classes(run: RunConfig, teacher: dict) -> list[int] | None:
    """The classes of an expert in the order of its outputs; None for a teacher of all classes."""
    if not run.is_education:
        return None
    curriculum = run.curriculum
    classes = list(curriculum.classes_of(teacher.get('classes', 'all')))
    return None if classes == list(range(curriculum.num_classes)) else classes


def train_teachers(
    run: RunConfig, names: Sequence[str] | None = None, epochs: int | None = None
) -> list[str]:
    """Train each teacher whose checkpoint is missing.

    An interrupted training goes on where it was, unless its config has changed since. If another
    run is training a teacher, this one waits for it.

    Args:
        run (RunConfig): An :class:`EducationDistill` run, or one of MMRazor's
            ``SingleTeacherDistill``.
        names (Sequence[str], optional): The teachers to train; that of ``SingleTeacherDistill`` is
            called 'teacher'. Defaults to None: all.
        epochs (int, optional): How long each is trained. Defaults to None: as the config says.

    Returns:
        list[str]: The checkpoints that were written.

    Raises:
        ConfigurationError: If something is wrong with the config or the data, before any training.
    """
    if run.is_education:
        _ = run.curriculum  # an invalid one is refused before anything else
    known = [teacher['name'] for teacher in run.teachers]
    if not known and not run.is_education:
        raise ConfigurationError(
            f'the model of the config has no teacher that could be trained: its type is '
            f'"{run.cfg.model.get("type")}", without teachers or teacher'
        )
    for name in names or ():
        if name not in known:
            raise ConfigurationError(
                f'the config has no teacher "{name}"{did_you_mean(name, known)}; its teachers are '
                f'{", ".join(known) or "none"}'
            )
    missing = [
        teacher for teacher in run.missing_teachers if names is None or teacher['name'] in names
    ]
    for teacher in missing:
        check_trainable(teacher)
    if missing:
        check_config(run)
        check_data(run)
        check_classes(run)
    # All recipes first, so that a mistake in one is found before any training.
    recipes = [teacher_config(run, teacher, epochs) for teacher in missing]
    for number, (teacher, recipe) in enumerate(zip(missing, recipes), 1):
        if is_main_process():
            print(
                f'Training teacher {number} of {len(missing)}: {teacher["name"]}, '
                f'{describe_recipe(recipe)}'
            )
        _train_unless_another_does(recipe, teacher)
    return [teacher['ckpt'] for teacher in missing]


def check_trainable(teacher: dict) -> None:
    """Refuse a teacher that would be trained on other images or outputs than it is asked for.

    Raises:
        ConfigurationError: It names the key.
    """
    reason = f'and "{teacher["ckpt"]}" does not exist'
    if teacher.get('outputs') is not None:
        raise ConfigurationError(
            f'teacher "{teacher["name"]}" cannot be trained here, because its "outputs" are those of a '
            f'checkpoint that is there, {reason}; leave out "outputs" and give the architecture one '
            f'output for each of its classes'
        )
    for key in OTHER_IMAGES:
        if teacher.get(key) is not None:
            raise ConfigurationError(
                f'teacher "{teacher["name"]}" cannot be trained here, because its "{key}" is that of a '
                f'checkpoint that is there, {reason}; leave out "{key}", as it learns from the student\'s '
                f'images as they are'
            )


def former_recipe(ckpt: str) -> Config | None:
    """The config by which a teacher has been trained here; None of one that was brought.

    ``ckpt`` is the path of its checkpoint. A broken or empty file is none.
    """
    recipe = _recipe_file(osp.splitext(ckpt)[0])
    try:
        return Config.fromfile(recipe, import_custom_modules=False) or None
    except Exception:
        return None


def other_recipes(run: RunConfig) -> Iterator[str]:
    """Say of each teacher that is there which other network, images or length it has learned by."""
    for teacher in run.teachers:
        ckpt = teacher.get('ckpt')
        former = former_recipe(ckpt) if ckpt and osp.exists(ckpt) else None
        if former is None:
            continue
        new, old = (
            {
                key: value
                for key, value in settings(cfg, training_only=True).items()
                if key in TAUGHT
            }
            for cfg in (teacher_config(run, teacher), former)
        )
        change = difference(new, old)
        if change is not None:
            yield (
                f'the teacher "{teacher["name"]}" was trained by another recipe than that of this config: '
                f'{change}; it is used as it is, unless you delete "{ckpt}" and train it anew'
            )


def _recipe_file(work_dir: str) -> str:
    return osp.join(work_dir, 'config.py')


def _train_unless_another_does(cfg: Config, teacher: dict) -> None:
    """Train a teacher, or wait for another run that trains it and may leave its checkpoint."""

    def wait(other: str) -> None:
        if is_main_process():
            print(f'Another run is at it; waiting for its end{other}', flush=True)

    folder = cfg.work_dir
    with full_disk_told(folder), preemption.heeded(), hold_folder(folder, wait=wait):
        if broadcast_from_main(is_missing(teacher)):
            _train_teacher(cfg, teacher['ckpt'])
        number = preemption.asked()
        if number:
            raise preemption.stop(number, f'the teacher "{teacher["ckpt"]}" is trained')


def _train_teacher(cfg: Config, ckpt: str) -> None:
    recipe, former = _recipe_file(cfg.work_dir), former_recipe(ckpt)
    # The main rank decides, before it writes the file that the others would read.
    same = broadcast_from_main(former is not None and former.pretty_text == cfg.pretty_text)
    if is_main_process():
        os.makedirs(cfg.work_dir, exist_ok=True)
        text = cfg.pretty_text
        atomic_write(recipe, lambda file: file.write(text.encode()))
    barrier()
    cfg.resume, cfg.load_from = same, None
    runner = EducationRunner.from_completed_cfg(cfg, 'teacher_training')
    remark = unfinished_schedule(cfg)
    if remark is not None:
        runner.logger.warning(remark)
    runner.train()
    runner.end_workers()
    if is_main_process():
        model = unwrap_model(runner.model)
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                # Validation has used the averaged weights.
                model = hook.ema_model.module
        state = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        # Atomically, as a file of this name is taken for a finished teacher.
        meta = dict(dataset_meta=dict(runner.train_dataloader.dataset.metainfo))
        atomic_write(ckpt, lambda file: torch.save(dict(meta=meta, state_dict=state), file))
    barrier()
