"""Test the teachers of a run on their own classes."""

from dataclasses import dataclass
from typing import Callable, List, Optional

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpretrain.evaluation import Accuracy
from torch import nn
from torch.utils.data import DataLoader, Subset

from edudistill_mm.build_errors import errors_name_keys
from edudistill_mm.datasets.samplers.grade_sampler import labels_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module
from edudistill_mm.models.teachers import Teacher

from .config import build_dataset, check_config, check_data, curriculum_of
from .data import check_classes, clear_annotation_errors, name_samples
from .teachers import missing_teachers


@dataclass
class TeacherReport:
    """How good a teacher is.

    Args:
        name (str): The teacher's name.
        accuracy (float): Top-1 on images of its own classes, in percent.
        images (int): Number of images.
        classes (int): Number of its classes.
        reason (str): Why it may be near chance. Empty if it is not.
    """

    name: str
    accuracy: float
    images: int
    classes: int
    reason: str = ''

    @property
    def chance(self) -> float:
        """float: Accuracy of a guess, in percent."""
        return 100 / self.classes

    @property
    def near_chance(self) -> bool:
        """bool: Whether the accuracy is within four standard deviations of a guess's."""
        chance = self.chance / 100
        deviation = (chance * (1 - chance) / max(self.images, 1)) ** 0.5
        return self.accuracy / 100 <= chance + 4 * deviation

    def line(self) -> str:
        """One sentence about the teacher."""
        return (
            f'Teacher "{self.name}": {self.accuracy:.1f} % of {self.images} images of its '
            f'{self.classes} classes (chance {self.chance:.1f} %)'
        )


def test_teachers(cfg: Config, max_samples: Optional[int] = None) -> List[TeacherReport]:
    """Test each teacher of a config, through the run's own data pipeline and the teacher's inputs.

    Args:
        cfg (Config): What :func:`load_config` returned, and :func:`prepare_runtime` completed.
        max_samples (int, optional): Images for each teacher, drawn evenly over its classes.
            Defaults to None: all.

    Returns:
        list[TeacherReport]: One for each teacher, in the config's order.

    Raises:
        ConfigurationError: If the config, a checkpoint or the data cannot be used.
    """
    curriculum_of(cfg)
    check_config(cfg)
    check_data(cfg)
    check_classes(cfg)
    for teacher in missing_teachers(cfg):
        raise ConfigurationError(
            f'the checkpoint "{teacher["ckpt"]}" of teacher "{teacher["name"]}" does not exist'
        )
    model = cfg.model.to_dict()
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    algorithm = build_module(model, 'model', 'mmpretrain')
    algorithm.to('cuda' if torch.cuda.is_available() else 'cpu')
    return report_teachers(algorithm, cfg, max_samples)


def report_teachers(
    algorithm: nn.Module,
    cfg: Config,
    max_samples: Optional[int] = None,
    progress: Callable[[TeacherReport], None] = lambda report: None,
) -> List[TeacherReport]:
    """Test the teachers of an algorithm that has been built.

    Args:
        algorithm (nn.Module): The :class:`EducationDistill`.
        cfg (Config): Its config; the data are those of validation, else those of testing.
        max_samples (int, optional): As in :func:`test_teachers`.
        progress (Callable): Called with each report. Defaults to a function that does nothing.

    Returns:
        list[TeacherReport]: One for each teacher; empty if the config has neither data.
    """
    loader = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    if loader is None or not algorithm.faculty.teachers:
        return []
    with errors_name_keys(loader.dataset, 'dataset'), clear_annotation_errors(loader):
        dataset = build_dataset(loader.dataset)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    name_samples(dataset)
    labels = labels_of(dataset)
    reports = []
    for teacher in algorithm.faculty.teachers:
        if not len(teacher.classes):  # the student of the previous grade
            continue
        indices = _indices(labels, teacher, max_samples)
        if not indices:
            continue
        batches = DataLoader(
            Subset(dataset, indices),
            batch_size=loader.batch_size,
            num_workers=loader.get('num_workers', 0),
            collate_fn=pseudo_collate,
            # A loader takes a random number, which must not change the training that follows.
            generator=torch.Generator(),
        )
        wanted = teacher.classes.positions(torch.device('cpu'))[labels[indices]]
        report = _report(teacher, _answers(algorithm, teacher, batches), wanted)
        if report.near_chance:
            report.reason = _reason(algorithm, teacher, batches, wanted)
        reports.append(report)
        progress(report)
    return reports


def refuse_near_chance(report: TeacherReport) -> None:
    """Raise ConfigurationError if a teacher is no better than a guess."""
    if report.near_chance:
        raise ConfigurationError(
            f'teacher "{report.name}" is right on {report.accuracy:.1f} % of {report.images} images of '
            f'its {report.classes} classes, and chance is {report.chance:.1f} %: {report.reason}; '
            '--no-teacher-test trains with it all the same'
        )


def teachers_table(reports: List[TeacherReport]) -> str:
    """The reports as a table in Markdown."""
    lines = ['| teacher | classes | images | top-1 | chance |', '|---|---|---|---|---|']
    for report in reports:
        remark = f' **near chance: {report.reason}**' if report.near_chance else ''
        lines.append(
            f'| {report.name} | {report.classes} | {report.images} | {report.accuracy:.2f}{remark} | '
            f'{report.chance:.2f} |'
        )
    return '\n'.join(lines)


def _indices(labels: torch.Tensor, teacher: Teacher, max_samples: Optional[int]) -> List[int]:
    own = [(labels == label).nonzero().flatten().tolist() for label in teacher.classes.classes]
    if max_samples is not None:
        each = max(max_samples // len(own), 1)
        own = [indices[:each] for indices in own]
    return [index for indices in own for index in indices]


@torch.no_grad()
def _answers(
    algorithm: nn.Module, teacher: Teacher, batches: DataLoader, own: bool = False
) -> torch.Tensor:
    """The teacher's class scores, [N, C]."""
    inputs = teacher.inputs
    if own:
        teacher.inputs = teacher.build_inputs(algorithm.data_preprocessor, 'own', inputs.size)
        teacher.inputs.to(next(teacher.network.parameters()).device)
    try:
        return torch.cat(
            [
                teacher.teach(algorithm.data_preprocessor(batch, False)['inputs']).float().cpu()
                for batch in batches
            ]
        )
    finally:
        teacher.inputs = inputs


def _report(teacher: Teacher, scores: torch.Tensor, wanted: torch.Tensor) -> TeacherReport:
    accuracy = float(Accuracy.calculate(scores, wanted, topk=(1,))[0][0])
    return TeacherReport(teacher.name, accuracy, len(wanted), len(teacher.classes))


def _reason(
    algorithm: nn.Module, teacher: Teacher, batches: DataLoader, wanted: torch.Tensor
) -> str:
    """The likeliest reason for a teacher that is near chance, tried out where it can be."""
    scores = _answers(algorithm, teacher, batches)
    votes = torch.zeros(len(teacher.classes), len(teacher.classes))
    votes.index_put_((wanted, scores.argmax(1)), torch.ones(len(wanted)), accumulate=True)
    favourite = votes.argmax(1)
    in_order = float(votes.max(1).values.sum() / len(wanted))
    if in_order > 0.5 and len(favourite.unique()) > len(favourite) / 2:
        return (
            f'each class has one output of its own on {100 * in_order:.0f} % of the images, but not in '
            f'the order of {teacher.key}.classes, which must be the order of the outputs'
        )
    if getattr(teacher.network.data_preprocessor, '_enable_normalize', False):
        report = _report(teacher, _answers(algorithm, teacher, batches, own=True), wanted)
        if not report.near_chance:
            return (
                f'with the normalisation of its own architecture it is right on {report.accuracy:.1f} %, '
                f'so set {teacher.key}.data_preprocessor="own"'
            )
    return (
        f'its checkpoint may be untrained or of other classes, or it was trained on images of another '
        f'normalisation or size ({teacher.key}.data_preprocessor, {teacher.key}.input_size)'
    )
