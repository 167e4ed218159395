"""The student of a checkpoint of a run, as a plain MMPretrain model."""

from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from edudistill_mm.checkpoint.form import check_form
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.state_dict_checks import check_finite
from edudistill_mm.checkpoint.weights import extract_state_dict
from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.datasets.class_lists import class_names_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.grade_config import (
    STUDENT,
    grade_meta,
    grade_student_config,
    grade_student_state,
    plain_student_state,
)
from edudistill_mm.export.plain_model import build_plain, gives_same_scores, load_difference
from edudistill_mm.export.preparation import next_stage, preparation_of
from edudistill_mm.models.students import FragmentedStudent


@dataclass(frozen=True)
class PlainStudent:
    """What a run's checkpoint holds of its student, in MMPretrain's terms.

    Attributes:
        config (Config): Config of the plain model; see :func:`grade_student_config`.
        state (dict[str, Tensor]): Its tensors.
        meta (dict): Class names, and what the checkpoint says of the curriculum and the grade.
        source (str): Path of the checkpoint.
        student (FragmentedStudent): The student of the run at the checkpoint's grade.
        run_state (dict[str, Tensor]): All tensors of the checkpoint.
    """

    config: Config
    state: dict[str, Tensor]
    meta: dict
    source: str
    student: FragmentedStudent
    run_state: dict[str, Tensor]

    @classmethod
    def of_checkpoint(cls, run: RunConfig, checkpoint: str) -> 'PlainStudent':
        """Read the student of a checkpoint.

        Args:
            run (RunConfig): What :func:`load_config` returned for an :class:`EducationDistill` run
                or plain distillation.
            checkpoint (str): A checkpoint of it, of any grade; also one that MMRazor's own
                ``SingleTeacherDistill`` has written.

        Raises:
            ConfigurationError: If the checkpoint is unreadable or does not belong to the config,
                or the config is that of a stage without a student.
        """
        cfg = run.cfg
        reason = preparation_of(cfg)
        if reason is not None:
            raise ConfigurationError(
                f'checkpoint "{checkpoint}" has no student to export, because {reason}; '
                f'{next_stage(checkpoint)}'
            )
        if not run.is_education:
            raise ConfigurationError(
                'model.type must be EducationDistill or SingleTeacherDistill here, but is '
                f'"{cfg.model.get("type")}"'
            )
        _ = run.curriculum  # an invalid one is refused before the checkpoint is read
        loaded = load_checkpoint_file(checkpoint)
        check_form(loaded, checkpoint, resume=False)
        run_state = extract_state_dict(loaded, f'checkpoint "{checkpoint}"')
        if not plain_student_state(run_state):
            raise ConfigurationError(
                f'checkpoint "{checkpoint}" holds no student (no tensor "{STUDENT}..."): give a '
                'checkpoint of the run'
            )
        check_classes(run, class_names_of(loaded), f'"{checkpoint}"', ('test_dataloader',))
        meta = loaded.get('meta') or {}
        kept = {key: meta[key] for key in ('dataset_meta', 'education') if key in meta}
        algorithm = run.build_without_teachers()
        grade = _grade_of(algorithm.curriculum, meta.get('education'), checkpoint)
        algorithm.set_grade(grade)
        student = algorithm.student
        config = grade_student_config(cfg, student)
        state = grade_student_state(run_state, config, student)
        if config.model.type == 'GradeStudent':
            kept.update(grade_meta(meta, grade))
        return cls(config, state, kept, checkpoint, student, run_state)

    def build(self, state: dict[str, Tensor]) -> nn.Module:
        """Build the plain model with a ``state``, what has been exported of :attr:`state`.

        Raises:
            ConfigurationError: If the model does not take all of its tensors, or gives other class
                scores than the run's student.
        """
        model = build_plain(self.config)
        difference = load_difference(model, state)
        if difference is not None:
            raise ConfigurationError(
                f'checkpoint "{self.source}" does not fit the student of the config: {difference}'
            )
        check_finite(state, model, f'checkpoint "{self.source}"', f'"{STUDENT}{{}}"')
        own = {
            name.removeprefix(STUDENT): tensor
            for name, tensor in self.run_state.items()
            if name.startswith(STUDENT)
        }
        wanted = self.student.state_dict()
        # The checkpoint may have other references for other grades.
        fitting = {
            name: own[name]
            for name in wanted
            if name in own and own[name].shape == wanted[name].shape
        }
        self.student.load_state_dict(fitting, strict=False)
        if not gives_same_scores(model, self.student, {}):
            raise ConfigurationError(
                f'the plain student of "{self.source}" gives other class scores than the student of '
                'the run'
            )
        return model


def _grade_of(curriculum: Curriculum, education: Any, source: str) -> Grade:
    """The grade of a checkpoint: the last one, unless its ``meta`` names another."""
    if not education or education['grade'] == education['curriculum']['grades'][-1]['name']:
        return curriculum.grades[-1]
    for grade in curriculum.grades:
        if grade.name == education['grade'] and list(grade.seen) == list(education['seen']):
            grade.check_depth(education['curriculum']['grades'], f'checkpoint "{source}"')
            return grade
    raise ConfigurationError(
        f'checkpoint "{source}" was saved in grade "{education["grade"]}" with '
        f'{len(education["seen"])} classes seen, which the curriculum of the config does not have; '
        'export it with the config of its run'
    )
