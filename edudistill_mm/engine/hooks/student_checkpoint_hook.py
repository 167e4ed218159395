import os
import os.path as osp
from typing import Any

import torch
from mmengine.fileio import exists, join_path
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch import Tensor

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.distributed import unwrap_model
from edudistill_mm.engine.runner import EducationRunner
from edudistill_mm.errors import ConfigurationError, full_disk_error, reason_of
from edudistill_mm.export.grade_config import (
    STUDENT,
    config_text,
    grade_meta,
    grade_student_config,
    grade_student_state,
)
from edudistill_mm.export.plain_model import build_plain, gives_same_scores, load_difference
from edudistill_mm.export.preparation import preparation_of
from edudistill_mm.registry import HOOKS, MODELS, register

FOLDER = 'students'


@register(HOOKS)
class StudentCheckpointHook(Hook):
    """Saves a plain MMPretrain student beside each checkpoint of an :class:`EducationDistill` run.

    ``<work_dir>/<name>.pth``, whether it is an epoch's, an iteration's or the best one, gets
    ``<work_dir>/students/<name>.pth`` and its config ``<work_dir>/students/<name>.py`` for
    ``mmpretrain.get_model`` and MMPretrain's tools, which do not need this package. Both are
    removed with the checkpoint, so ``max_keep_ckpts`` counts for them as well.

    At the last grade it is the complete student. Before, it is the student as it is: the active
    fragments under their teaching reference (:class:`GradeStudent`, whose definition stands in the
    config), with scores over the data set's own numbering, zero for classes that are not taught
    yet. ``meta`` holds ``dataset_meta``, ``epoch``, ``iter``, ``grade`` and ``seen_classes``, the
    taught classes' numbers and names. With ``EMAHook`` its weights are the averaged ones, those in
    the checkpoint's ``state_dict``.

    The hook reads the first student of each grade back and compares it with the run's. Any failure
    but a full disk is a warning: the run and its checkpoints do not depend on students. Other
    models than :class:`EducationDistill`, and stages that train no classifier, have none, and
    runners other than :class:`EducationRunner`, which reports what it has saved, cause a warning.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._active = False
        self._checkpoint: dict | None = None
        self._grade: str | None = None
        self._config: Any = None
        self._text = ''

    def before_run(self, runner: Runner) -> None:
        """Check whether the run trains a student, and whether the runner reports checkpoints."""
        self._active = (
            isinstance(runner._train_loop, BaseLoop)
            and isinstance(unwrap_model(runner.model), MODELS.get('EducationDistill'))
            and preparation_of(runner.cfg) is None
        )
        if self._active and not isinstance(runner, EducationRunner):
            runner.logger.warning(
                'StudentCheckpointHook leaves no plain students, because the runner does not say under '
                'which names it saves checkpoints; runner_type="EducationRunner" does'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep what is about to be saved until it is saved."""
        self._checkpoint = checkpoint if self._active else None

    def after_save_checkpoint(
        self, runner: Runner, out_dir: str, filename: str, backend_args: dict | None
    ) -> None:
        """Save the student beside the checkpoint."""
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None:
            self._leave_student(runner, checkpoint, filename)
            self._tidy_up(runner, out_dir, backend_args)

    def _leave_student(self, runner: Runner, checkpoint: dict, filename: str) -> None:
        model = unwrap_model(runner.model)
        student = model.student
        try:
            if model.grade.name != self._grade:
                self._grade, self._config = model.grade.name, None
                config = grade_student_config(runner.cfg, student)
                state = grade_student_state(checkpoint['state_dict'], config, student)
                self._check(config, student, state, checkpoint['state_dict'])
                self._text, self._config = config_text(config), config
            if self._config is None:
                return  # the grade's first checkpoint has said why
            state = grade_student_state(checkpoint['state_dict'], self._config, student)
            meta = checkpoint['meta']
            kept = {key: meta[key] for key in ('dataset_meta', 'epoch', 'iter') if key in meta}
            kept.update(grade_meta(meta, model.grade))
            stem = osp.join(runner.work_dir, FOLDER, osp.splitext(filename)[0])
            os.makedirs(osp.dirname(stem), exist_ok=True)
            # The config comes first, so that weights never lack one.
            atomic_write(f'{stem}.py', lambda file: file.write(self._text.encode()))
            atomic_write(
                f'{stem}.pth', lambda file: torch.save(dict(meta=kept, state_dict=state), file)
            )
        except Exception as error:  # students, and the parts that users bring, fail in all ways
            if full_disk_error(error):
                raise
            runner.logger.warning(
                f'No plain student beside the checkpoint {filename}: {reason_of(error)}'
            )

    @staticmethod
    def _check(config: Any, student: Any, state: dict[str, Tensor], saved: dict) -> None:
        """Check that a model of the config loads the state and gives the student's scores."""
        with torch.random.fork_rng():
            model = build_plain(config)
        difference = load_difference(model, state)
        if difference is not None:
            raise ConfigurationError(difference)
        own = {
            name.removeprefix(STUDENT): tensor
            for name, tensor in saved.items()
            if name.startswith(STUDENT)
        }
        if not gives_same_scores(model, student, own):
            raise ConfigurationError('it gives other class scores than the student of the run')

    @staticmethod
    def _tidy_up(runner: Runner, out_dir: str, backend_args: dict | None) -> None:
        """Remove the students of removed checkpoints."""
        folder = osp.join(runner.work_dir, FOLDER)
        for name in os.listdir(folder) if osp.isdir(folder) else ():
            stem, kind = osp.splitext(name)
            checkpoint = join_path(out_dir, f'{stem}.pth', backend_args=backend_args)
            if kind in ('.pth', '.py') and not exists(checkpoint, backend_args=backend_args):
                os.remove(osp.join(folder, name))
