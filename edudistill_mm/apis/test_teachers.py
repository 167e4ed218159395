"""Test the teachers of a run on their own classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process
from mmpretrain.evaluation import Accuracy
from torch import nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from edudistill_mm.config.data import build_dataset, class_names
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.datasets.channel_order import channel_order
from edudistill_mm.datasets.reading_errors import clear_annotation_errors, name_samples
from edudistill_mm.datasets.samplers.grade_sampler import labels_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.teachers import Teacher
from edudistill_mm.models.teachers.teacher_inputs import TeacherInputs
from edudistill_mm.validation.build_errors import errors_name_keys

from .build_algorithm import build_algorithm
from .exchanged_outputs import exchanged_outputs, reordered_outputs
from .input_trials import best_trial, input_trials

TRIED_IMAGES = 256  # on which the input trials run
SHOWN = 4  # classes named in a sentence


@dataclass
class TeacherReport:
    """Top-1 ``accuracy`` of a teacher, in percent, on ``images`` of its own ``classes``.

    ``reason`` says why the accuracy may be near chance, ``remark`` what looks wrong with one
    above: clearly better inputs, or classes that look exchanged. Both are '' if there is nothing
    to say.
    """

    name: str
    accuracy: float
    images: int
    classes: int
    reason: str = ''
    remark: str = ''

    @property
    def chance(self) -> float:
        """Accuracy of a guess, in percent."""
        return 100 / self.classes

    @property
    def near_chance(self) -> bool:
        """Whether the accuracy is within four standard deviations of a guess's.

        Of few images these reach beyond all of them right: what is half-way from a guess to that is
        better than a guess.
        """
        chance = self.chance / 100
        deviation = (chance * (1 - chance) / max(self.images, 1)) ** 0.5
        return self.accuracy / 100 <= chance + min(4 * deviation, (1 - chance) / 2)

    def line(self) -> str:
        """One sentence about the teacher."""
        return (
            f'Teacher "{self.name}": {self.accuracy:.1f} % of {self.images} images of its '
            f'{self.classes} classes (chance {self.chance:.1f} %)'
        )


def test_teachers(run: RunConfig, max_samples: int | None = None) -> list[TeacherReport]:
    """Test each teacher of a config, through the run's own data pipeline and the teacher's inputs.

    The run is what :func:`prepare_runtime` has completed. ``max_samples`` images for each teacher
    are drawn evenly over its classes.
    """
    algorithm = build_algorithm(run)
    return report_teachers(algorithm, run.cfg, max_samples)


def report_teachers(
    algorithm: nn.Module,
    cfg: Config,
    max_samples: int | None = None,
    progress: Callable[[TeacherReport], None] = lambda report: None,
) -> list[TeacherReport]:
    """Test the teachers of a built :class:`EducationDistill`; none if its config has no data.

    The data are those of validation, else those of testing. ``progress`` is called with each
    report.
    """
    loader = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    if loader is None or not algorithm.faculty.teachers:
        return []
    with errors_name_keys(loader.dataset, 'dataset'), clear_annotation_errors(loader):
        dataset = build_dataset(loader.dataset)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    name_samples(dataset)
    labels, order = labels_of(dataset), channel_order(dataset)
    names = getattr(dataset, 'metainfo', {}).get('classes') or ()
    # A class without a name is called by its number.
    names = [*names, *map(str, range(len(names), algorithm.curriculum.num_classes))]
    algorithm.introduce_data(_names_for_teachers(algorithm, cfg), order)
    reports = []
    for teacher in algorithm.faculty.teachers:
        indices = _indices(labels, teacher, max_samples)
        if not indices:
            continue
        wanted = teacher.classes.positions(torch.device('cpu'))[labels[indices]]
        batches = _batches(dataset, indices, loader)
        ((classes, outputs),) = _answers(algorithm, teacher, batches, [teacher.inputs])
        # By labels: of scores, MMPretrain counts those above 0 only, which logits need not be.
        accuracy = float(Accuracy.calculate(classes, wanted))
        report = TeacherReport(teacher.name, accuracy, len(wanted), len(teacher.classes))
        step = -(-len(indices) // TRIED_IMAGES)
        trials = input_trials(teacher, algorithm.data_preprocessor, order)
        better = ''
        if trials:
            answers = _answers(
                algorithm,
                teacher,
                _batches(dataset, indices[::step], loader),
                [teacher.inputs, *(trial.inputs for trial in trials)],
            )
            right = [classes == wanted[::step] for classes, _ in answers]
            better = best_trial(right, trials)
        if report.near_chance:
            report.reason = better or _reason(teacher, outputs, wanted)
        else:
            report.remark = better or _exchanges(teacher, outputs, wanted, names)
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


def teachers_table(reports: list[TeacherReport]) -> str:
    """The reports as a table in Markdown."""
    lines = ['| teacher | classes | images | top-1 | chance |', '|---|---|---|---|---|']
    for report in reports:
        remark = f'near chance: {report.reason}' if report.near_chance else report.remark
        remark = f' **{remark}**' if remark else ''
        lines.append(
            f'| {report.name} | {report.classes} | {report.images} | {report.accuracy:.2f}{remark} | '
            f'{report.chance:.2f} |'
        )
    return '\n'.join(lines)


def _names_for_teachers(algorithm: nn.Module, cfg: Config) -> Sequence[str] | None:
    """The names of the training data's classes, if a teacher's checkpoint names classes, too."""
    if not any(teacher.class_names for teacher in algorithm.faculty.teachers):
        return None
    loader = cfg.get('train_dataloader') or cfg.get('val_dataloader') or cfg.test_dataloader
    return class_names(loader.dataset)


def _batches(dataset: Any, indices: list[int], loader: dict) -> DataLoader:
    return DataLoader(
        Subset(dataset, indices),
        batch_size=loader['batch_size'],
        num_workers=loader.get('num_workers', 0),
        collate_fn=pseudo_collate,
        # A loader takes a random number, which must not change the training that follows.
        generator=torch.Generator(),
    )


def _indices(labels: torch.Tensor, teacher: Teacher, max_samples: int | None) -> list[int]:
    own = [(labels == label).nonzero().flatten().tolist() for label in teacher.classes.classes]
    if max_samples is not None:
        each = max(max_samples // len(own), 1)
        own = [indices[:each] for indices in own]
    return [index for indices in own for index in indices]


@torch.no_grad()
def _answers(
    algorithm: nn.Module, teacher: Teacher, batches: DataLoader, inputs: Sequence[TeacherInputs]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The teacher's class and the network's output with the highest scores, each [N].

    There is a pair for each way to prepare the images.
    """
    answers: list[tuple[list, list]] = [([], []) for _ in inputs]
    # On a terminal alone, and not by each of several processes.
    hidden = None if is_main_process() else True
    bar = dict(desc=f'testing teacher "{teacher.name}"', unit=' batches', leave=False)
    for batch in tqdm(batches, disable=hidden, **bar):
        images = algorithm.data_preprocessor(batch, False)['inputs']
        for prepare, (classes, outputs) in zip(inputs, answers):
            scores = teacher.network(prepare(images), mode='tensor')
            classes.append(teacher.columns.select(scores).argmax(1).cpu())
            outputs.append(scores.argmax(1).cpu())
    return [(torch.cat(classes), torch.cat(outputs)) for classes, outputs in answers]


def _reason(teacher: Teacher, outputs: torch.Tensor, wanted: torch.Tensor) -> str:
    """The likeliest reason for a teacher near chance whose inputs are right."""
    reordered = reordered_outputs(outputs, wanted, teacher.columns.classes)
    if reordered is not None:
        favourites, share = reordered
        one_each = len(set(favourites)) == len(favourites)
        remedy = _remedy(teacher, favourites) if one_each else ''
        return (
            f'each class has one output of its own on {100 * share:.0f} % of the images, but not in '
            f'the order of {teacher.key}.classes, which must be the order of the outputs{remedy}'
        )
    return (
        f'its checkpoint may be untrained or of other classes, or it was trained on images of another '
        f'normalisation or size ({teacher.key}.data_preprocessor, {teacher.key}.input_size)'
    )


def _exchanges(
    teacher: Teacher, outputs: torch.Tensor, wanted: torch.Tensor, names: Sequence[str]
) -> str:
    """A sentence about the classes of a teacher that look exchanged; '' if none do."""
    given = teacher.columns.classes
    found = exchanged_outputs(outputs, wanted, given)
    if not found:
        return ''
    owners = dict(zip(given, teacher.classes.classes))
    parts = []
    for place, output in list(found.items())[:SHOWN]:
        of_class = wanted == place
        there = int((outputs[of_class] == output).sum())
        own = (
            f'the output of "{names[owners[output]]}"' if output in owners else f'output {output}'
        )
        parts.append(
            f'{there} of {int(of_class.sum())} images of "{names[teacher.classes.classes[place]]}" go to '
            f'{own}'
        )
    more = f', and so on for {len(found) - SHOWN} more' if len(found) > SHOWN else ''
    right = [found.get(place, output) for place, output in enumerate(given)]
    return f'classes look exchanged: {", ".join(parts)}{more}{_remedy(teacher, right)}'


def _remedy(teacher: Teacher, outputs: list[int]) -> str:
    """The setting by which other outputs stand for a teacher's classes."""
    if len(outputs) > 100:
        return f'; give {teacher.key}.outputs, the right one for each class'
    return f'; these would be the right ones: {teacher.key}.outputs={outputs}'
