import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.runner import BaseLoop, IterBasedTrainLoop

from ..config.resident import check_augmentation
from ..datasets import GradeSampler, ResidentDataset
from ..datasets.channel_order import channel_order
from ..datasets.class_lists import check_class_lists
from ..datasets.unsliced import unsliced
from ..distributed import check_same_on_all_ranks
from ..errors import ConfigurationError
from ..random_state import random_state_preserved
from .drawn_batches import DrawnBatches


def any_sampler(loader: Any) -> Any:
    """The sampler that chooses the samples of a data loader."""
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)


def grade_sampler(loader: Any) -> GradeSampler | None:
    """The sampler of a data loader, if it is a :class:`GradeSampler`."""
    sampler = any_sampler(loader)
    return sampler if isinstance(sampler, GradeSampler) else None


def class_names(loader: Any) -> Sequence[str] | None:
    """The names of the classes of a data loader's data set, if it has any."""
    dataset: Any = getattr(loader, 'dataset', None)
    while not hasattr(dataset, 'metainfo') and hasattr(dataset, 'dataset'):
        # A wrapper, such as MMRazor's CRDDataset.
        dataset = dataset.dataset
    return getattr(dataset, 'metainfo', {}).get('classes')


def introduce_data(model: Any, loop: BaseLoop, val_loader: Any) -> None:
    """Give an EducationDistill and its sampler what they need of data and curriculum.

    A ConfigurationError is raised if the validation numbers the classes otherwise, the ranks do
    not see the same files, or the sampler cannot follow the curriculum.
    """
    curriculum, teachers, loader = model.curriculum, model.faculty.teachers, loop.dataloader
    check_class_lists(
        class_names(loader),
        'train_dataloader.dataset',
        class_names(val_loader),
        'val_dataloader.dataset',
    )
    model.introduce_data(class_names(loader), channel_order(loader.dataset))
    check_same_on_all_ranks(
        {
            **{f'checkpoint of teacher "{teacher.name}"': teacher.sha256 for teacher in teachers},
            'number of training images': len(loader.dataset),
            **{
                f'choice of classes in grade "{grade.name}"': list(grade.classes)
                for grade in curriculum.grades
            },
        },
        'all must see the same files',
    )
    dataset = unsliced(loader.dataset)
    resident = isinstance(dataset, ResidentDataset)
    check_augmentation(curriculum, resident, dataset.views_per_image if resident else None)
    open_answers(model, loader.dataset, loop.runner.work_dir, loop.runner.optim_wrapper)
    sampler = grade_sampler(loader)
    if sampler is not None:
        sampler.attach(
            curriculum,
            {teacher.name: teacher.classes.classes for teacher in teachers},
            loader.batch_sampler.batch_size,
        )
    elif curriculum.needs_sampler:
        raise ConfigurationError(
            f'train_dataloader.sampler must be dict(type="GradeSampler"), because the grades differ '
            f'in classes, order or augmentation of the samples, but got '
            f'"{type(any_sampler(loader)).__name__}"'
        )


def answers_folder(work_dir: str) -> str:
    """Where runs keep their teachers' answers, so that those side by side share them.

    It is ``answers`` beside the work dir. That of a row of a comparison, ``seed_N``, has it beside
    the folder around, if it is there and none is nearer.
    """
    path = osp.abspath(work_dir)
    inner = osp.dirname(path)
    outer = osp.join(osp.dirname(inner), 'answers')
    inner = osp.join(inner, 'answers')
    of_row = osp.basename(path).startswith('seed_')
    return outer if of_row and osp.isdir(outer) and not osp.isdir(inner) else inner


def open_answers(model: Any, dataset: Any, work_dir: str, optim_wrapper: Any) -> None:
    """Open the tables of the teachers whose answers are kept, beside the work dir.

    All ranks must call it; the main one makes what is missing. A ConfigurationError is raised if
    the training data have no views that can be counted.
    """
    keeping = [teacher for teacher in model.faculty.teachers if teacher.keeping is not None]
    if not keeping:
        return
    dataset = unsliced(dataset)
    needs = f'keep_answers of teacher "{keeping[0].name}" needs'
    if not isinstance(dataset, ResidentDataset):
        raise ConfigurationError(
            f'{needs} resident data, but train_dataloader.dataset is of type '
            f'{type(dataset).__name__}; set train_dataloader.resident=True, or keep_answers=False'
        )
    if not dataset.training:
        raise ConfigurationError(
            f'{needs} a ResidentDataset with training=True; set it, or keep_answers=False'
        )
    if dataset.num_views is None:
        raise ConfigurationError(
            f'{needs} views that can be counted, which the random transforms of '
            'train_dataloader.dataset.pipeline do not have; set '
            'train_dataloader.resident=dict(views_per_image=16), or keep_answers=False'
        )
    with optim_wrapper.optim_context(model):
        # Autocast decides on the type of a product.
        number = next(model.parameters()).new_zeros(1, 1)
        precision = (number @ number).dtype
    if not is_main_process():
        barrier()
    try:
        model.faculty.open_answers(
            dataset, model.data_preprocessor, answers_folder(work_dir), precision
        )
    finally:
        if is_main_process():
            barrier()


def draw_from_here(loop: IterBasedTrainLoop, begun: bool, left_out: int = 0) -> None:
    """Draw the data by the curriculum, from where an iteration-based run goes on.

    The loop has started to draw from the whole data set when it was built. A resumed one skips as
    many batches as it had, which need not be loaded; OneDL's with ``fast_forward_on_resume=True``
    skips none. Of any other sampler than :class:`GradeSampler` the loop's own iterator goes on.

    Args:
        loop (IterBasedTrainLoop): The training loop.
        begun (bool): Whether it has trained a batch.
        left_out (int): Number of batches that early ends have left out.
    """
    loader, sampler = loop.dataloader, grade_sampler(loop.dataloader)
    skips = not begun and not getattr(loop, 'fast_forward_on_resume', False)
    if sampler is None:
        if skips:
            loop.dataloader_iterator = DrawnBatches(left_out, loop.dataloader_iterator)
        return
    sampler.skip(loop.iter * loader.batch_sampler.batch_size)
    # A new iterator draws a random number, which must not change a new run.
    with random_state_preserved():
        iterator = iter(loader)  # without end, as the sampler
    loop.dataloader_iterator = DrawnBatches(loop.iter if skips else 0, iterator)
