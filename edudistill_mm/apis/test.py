"""Test a checkpoint of a run, of any grade, or a plain student."""

import copy
from typing import Any

from mmengine.config import Config

from edudistill_mm.checkpoint.download import resolve_checkpoint
from edudistill_mm.checkpoint.form import check_form
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.weights import extract_state_dict
from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.data import check_data
from edudistill_mm.config.parts import without_hook
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.runtime_settings import check_packages
from edudistill_mm.datasets.class_lists import class_names_of
from edudistill_mm.engine.runner import EducationRunner
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.grade_config import grade_student_config, plain_student_state
from edudistill_mm.export.plain_config import plain_config

from .test_hooks import without_training_hooks
from .tta import prepare_tta


def test(run: RunConfig, checkpoint: str, tta: bool = False) -> dict[str, float]:
    """Evaluate on the test data. No teacher's checkpoint is read.

    Args:
        run (RunConfig): What :func:`load_config` returned, and :func:`prepare_runtime` completed.
        checkpoint (str): Path or URL of a checkpoint of the run, or of a plain student.
        tta (bool): Whether to merge the predictions of several views of an image; see
            :func:`~edudistill_mm.apis.tta.prepare_tta`. Defaults to False.

    Returns:
        dict[str, float]: The metrics.

    Raises:
        ConfigurationError: If the checkpoint is unreadable or of another run, or there is no data.
    """
    cfg = copy.deepcopy(run.cfg)
    if cfg.get('test_dataloader') is None or cfg.get('test_evaluator') is None:
        raise ConfigurationError('the config has no test_dataloader or no test_evaluator')
    check_packages(cfg)
    path = resolve_checkpoint(checkpoint)
    loaded = load_checkpoint_file(path)
    check_form(loaded, path, resume=False)
    state = extract_state_dict(loaded, f'checkpoint "{checkpoint}"')
    check_data(run)
    names = class_names_of(loaded)
    loaders = ('test_dataloader',) if names else ('train_dataloader', 'test_dataloader')
    check_classes(run, names, f'"{checkpoint}"', loaders)
    if run.is_education and not plain_student_state(state):
        _ = run.curriculum  # an invalid one is refused first
        if not any(name.startswith(('head.', 'backbone.')) for name in state):
            raise ConfigurationError(
                f'checkpoint "{checkpoint}" is neither of a run of this config nor of its plain '
                f'student: its first tensor is "{next(iter(state))}"'
            )
        plain = _config_of_student(run, loaded.get('meta'))
        cfg.model, cfg.test_evaluator = plain.model, plain.test_evaluator
        cfg.custom_hooks = without_hook(cfg, 'GradeSchedulerHook')
        cfg.data_preprocessor = plain.get('data_preprocessor')
    elif run.is_education:
        cfg = run.without_teachers().cfg
    cfg.custom_hooks, left_out = without_training_hooks(cfg)
    # The runner builds nothing of training.
    training = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
    for key in (*training, 'val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[key] = None
    cfg.resume, cfg.load_from = False, path
    merging = prepare_tta(cfg) if tta else None
    runner = EducationRunner.from_completed_cfg(cfg)
    if left_out:
        runner.logger.info(f'Left out of the test, as they only train: {", ".join(left_out)}')
    if merging is not None:
        runner.register_hook(merging)
    return runner.test()


def _config_of_student(run: RunConfig, meta: Any) -> Config:
    """The config of a plain student: the complete one, unless its ``meta`` names another grade."""
    name = meta.get('grade') if isinstance(meta, dict) else None
    if name is None:
        return plain_config(run.cfg)
    algorithm = run.build_without_teachers()
    for grade in algorithm.curriculum.grades:
        if grade.name == name and list(grade.seen) == list(meta.get('seen_classes') or ()):
            algorithm.set_grade(grade)
            return grade_student_config(run.cfg, algorithm.student)
    raise ConfigurationError(
        f'the checkpoint is the student of grade "{name}", which the curriculum does not have with '
        f'these classes; test it with the config of its run'
    )
