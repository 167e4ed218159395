"""Write a config for one's own images."""

import os
import os.path as osp
import tempfile
from dataclasses import dataclass

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.load import load_config
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.registration import register_all_modules
from edudistill_mm.validation.values import check_choice, check_positive

from .own_images.data_choice import DataChoice, choose_batch_size, choose_image_size
from .own_images.image_survey import check_hold_out, survey_images
from .own_images.network_choice import NetworkChoice, choose_network
from .own_images.own_config import PUBLISHED, OwnConfig, listed

DAMAGED = ('refuse', 'skip', 'ignore')
NONE = 'none'


@dataclass(frozen=True)
class NewConfig:
    """A config that has been written.

    Args:
        path (str): The file.
        remarks (list[str]): What was found and chosen, sentences.
        trains_teacher (bool): Whether its teacher has to be trained first.
    """

    path: str
    remarks: list[str]
    trains_teacher: bool


def new_config(
    data: str,
    student: str,
    teacher: str,
    epochs: int,
    out: str,
    *,
    image_size: int | None = None,
    batch_size: int | None = None,
    val_share: float = 0.2,
    seed: int = 0,
    damaged: str = 'refuse',
    student_weights: str = PUBLISHED,
    teacher_weights: str = PUBLISHED,
    teacher_ckpt: str | None = None,
    teacher_epochs: int | None = None,
    force: bool = False,
    command: str = 'edudistill_mm.apis.new_config',
) -> NewConfig:
    """Write a config by which a student learns one's own images from a teacher.

    The config is checked as a run checks it before it is written.

    Args:
        data (str): The folder of images; see
            :func:`~edudistill_mm.apis.own_images.image_survey.survey_images`.
        student (str): Name of the student; see
            :func:`~edudistill_mm.apis.own_images.network_choice.choose_network`.
        teacher (str): Name of the teacher.
        epochs (int): Length of the student's training.
        out (str): The file to write, ``<name>.py``.
        image_size (int, optional): Height and width in pixels. Defaults to None: by the images.
        batch_size (int, optional): Defaults to None: by their number.
        val_share (float): The share of each class that is held out where there are no validation
            images. Defaults to 0.2.
        seed (int): Chooses which. Defaults to 0.
        damaged (str): What to do about files that cannot be read: 'refuse', 'skip', or 'ignore',
            with which no more than about 500 images are looked at. Defaults to 'refuse'.
        student_weights (str): What the student starts from: 'published', 'none' or a file.
            Defaults to 'published', which is 'none' for a network without.
        teacher_weights (str): The same of the teacher. Defaults to 'published'.
        teacher_ckpt (str, optional): The file of a teacher that knows the classes. Defaults to
            None: it is trained.
        teacher_epochs (int, optional): Length of its training. Defaults to None: as long as the
            student's, or half as long, but 60 epochs at most, where it starts from weights.
        force (bool): Whether to overwrite ``out``. Defaults to False.
        command (str): What a comment in the file says it was written by.

    Returns:
        NewConfig: What was written.

    Raises:
        ConfigurationError: Something cannot be used as it was given; nothing is written then.
    """
    register_all_modules()
    _check_out(out, force)
    check_choice(damaged, DAMAGED, '--damaged')
    numbers = dict(epochs=epochs, image_size=image_size, batch_size=batch_size)
    for name, number in dict(numbers, teacher_epochs=teacher_epochs).items():
        if number is not None:
            check_positive(number, f'--{name.replace("_", "-")}')
    survey = survey_images(data, look_at_all=damaged != 'ignore')
    if survey.damaged and damaged == 'refuse':
        raise ConfigurationError(
            f'{len(survey.damaged)} of the files in "{data}" cannot be read, {listed(survey.damaged)}; '
            f'take them away, or leave them out by --damaged skip'
        )
    if survey.val is None:
        check_hold_out(survey, val_share)
    size = image_size or choose_image_size(survey)
    batch = batch_size or choose_batch_size(survey.count_training(val_share))
    of_student = choose_network(student, size, '--student')
    of_teacher = choose_network(teacher, size, '--teacher')
    if teacher_ckpt is not None:
        _check_file(teacher_ckpt, '--teacher-ckpt')
    config = OwnConfig(
        DataChoice(survey, size, batch, val_share, seed),
        of_student,
        of_teacher,
        _start(of_student, student_weights, '--student-weights'),
        _start(of_teacher, teacher_weights, '--teacher-weights'),
        teacher_ckpt,
        teacher_epochs,
        epochs,
    )
    text = config.text(command)
    _check(text)
    atomic_write(out, lambda file: file.write(text.encode()))
    return NewConfig(out, list(config.remarks()), teacher_ckpt is None)


def _check_out(out: str, force: bool) -> None:
    name, ending = osp.splitext(osp.basename(out))
    if ending != '.py' or '.' in name or osp.isdir(out):
        raise ConfigurationError(
            f'--out must be a file such as my_run.py, without another dot, but got "{out}"'
        )
    if not osp.isdir(osp.dirname(out) or '.'):
        raise ConfigurationError(f'--out "{out}" is in a folder that does not exist')
    if osp.exists(out) and not force:
        raise ConfigurationError(
            f'--out "{out}" exists and may hold what you have changed; --force overwrites it'
        )


def _start(network: NetworkChoice, given: str, option: str) -> str | None:
    """What a network starts from: 'published', a file, or None."""
    if given == PUBLISHED:
        return None if network.weights is None else PUBLISHED
    if given == NONE:
        return None
    _check_file(given, option)
    return given


def _check_file(path: str, option: str) -> None:
    if '://' not in path and not osp.isfile(path):
        raise ConfigurationError(f'{option} "{path}" is neither a file nor a URL')


def _check(text: str) -> None:
    """Raise ConfigurationError if a run would refuse the config."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'new_config.py')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        run = load_config(path, work_dir=folder)
        # Neither the published weights nor the teacher need be there.
        run.cfg.load_from = None
        check_config(run)
        check_classes(run)
