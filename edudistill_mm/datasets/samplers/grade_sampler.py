import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import Sampler

from ...curriculum import Curriculum, Grade
from ...errors import ConfigurationError, reason_of
from ...registry import DATA_SAMPLERS, register
from ..resident import ResidentDataset
from ..seeded_fetch import SeededFetch
from ..seeded_index import SeededIndex
from ..unsliced import unsliced
from .same_class_refetch import SameClassRefetch


@register(DATA_SAMPLERS)
class GradeSampler(Sampler):
    """Sampler that yields the samples of the classes seen at the current grade.

    Before :meth:`attach`, and at a grade that has seen all classes, its order is that of
    MMEngine's ``DefaultSampler``. If the curriculum counts iterations, one iterator covers the
    whole run: for each grade the samples of its iterations, in passes that are shuffled anew, the
    last grade without end; a single grade of all classes is MMEngine's ``InfiniteSampler``. The
    order depends on seed and progress only: a resumed run finds it again, and a promotion falls
    between two batches, however many the workers have prefetched.

    Args:
        dataset (Sized): The data set. Its labels come from ``get_gt_labels()``, or sample by
            sample from ``get_data_info(index)['gt_label']`` or ``get_cat_ids(index)[0]``.
        shuffle (bool): Whether to shuffle, anew in each pass. Defaults to True.
        seed (int, optional): Seed of the shuffling, the same on all ranks. Defaults to None: a
            random one that the ranks agree on.
        round_up (bool): Whether to repeat samples so that all ranks get equally many per epoch; if
            the curriculum counts iterations, they always do. Defaults to True.
    """

    def __init__(
        self,
        dataset: Any,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.round_up = round_up
        self.epoch = 0
        self._skipped = 0
        self._curriculum: Curriculum | None = None
        # Resident data follow the streams of the indices by themselves.
        if not isinstance(unsliced(dataset), ResidentDataset):
            dataset.__getitems__ = SeededFetch(dataset)
            _refetch_from_same_class(dataset)

    def attach(
        self, curriculum: Curriculum, teacher_classes: Mapping[str, Sequence[int]], batch_size: int
    ) -> None:
        """Let a curriculum decide which samples come when.

        An iterator that exists already keeps the old order, also one whose batches workers have
        prefetched: MMEngine's ``IterBasedTrainLoop`` makes its iterator when it is built.

        Args:
            curriculum (Curriculum): The curriculum.
            teacher_classes (Mapping[str, Sequence[int]]): The classes that each teacher covers.
            batch_size (int): Samples per iteration on one rank.

        Raises:
            ConfigurationError: The data set has no labels, labels beyond the curriculum's classes,
                or no sample for a grade.
        """
        labels = labels_of(self.dataset)[: len(self.dataset)]
        names = getattr(self.dataset, 'metainfo', {}).get('classes')
        _check_classes(names, curriculum, labels)
        strange = labels[(labels < 0) | (labels >= curriculum.num_classes)]
        if len(strange):
            raise ConfigurationError(
                f'curriculum.num_classes is {curriculum.num_classes}, but the training data hold the label '
                f'{strange[0]}; labels must run from 0 to {curriculum.num_classes - 1}.'
            )
        self._indices: list[Tensor] = []  # per grade, ascending
        self._turns: list[
            Tensor | None
        ] = []  # per grade and sample: whose turn it is, None if mixed
        for grade in curriculum.grades:
            indices = torch.isin(labels, torch.tensor(grade.seen)).nonzero().flatten()
            if not len(indices):
                classes = ', '.join(_class(label, names) for label in grade.seen[:5])
                raise ConfigurationError(
                    f'the training data hold no sample for the grade "{grade.name}" of the curriculum, whose '
                    f'classes are {classes}{", ..." if len(grade.seen) > 5 else ""}.'
                )
            self._indices.append(indices)
            turns = None
            if grade.samples == 'by_teacher':
                turn_of_class = torch.full((curriculum.num_classes,), len(grade.teachers))
                # Backwards: a class that teachers share gets the turn of the first one to join.
                for turn, name in reversed(list(enumerate(grade.teachers))):
                    turn_of_class[list(teacher_classes[name])] = turn
                turns = turn_of_class[labels]
            self._turns.append(turns)
        self._curriculum = curriculum
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[int]:
        """Iterate over this rank's indices of the epoch, or of the whole run without end."""
        skipped, self._skipped = self._skipped, 0
        if self._by_iter:
            return self._run(skipped)
        order = self._next_pass(self._grade, self._generator(self.epoch))
        if self.round_up:
            total = math.ceil(len(order) / self.world_size) * self.world_size
            order = (order * math.ceil(total / len(order)))[:total]
        return self._seeded(order[self.rank :: self.world_size][skipped:], self._grade, self.epoch)

    def __len__(self) -> int:
        """This rank's number of samples in the epoch, or in a run that counts iterations."""
        if self._by_iter:
            return sum(self.num_samples(grade) for grade in self._curriculum.grades)
        if self._curriculum is None:
            return self._share(len(self.dataset))
        return self.num_samples(self._grade)

    def num_samples(self, grade: Grade) -> int:
        """This rank's samples per epoch of a grade, or in all of it, if it counts iterations."""
        if self._by_iter:
            return grade.length * self._batch_size
        return self._share(len(self._indices[grade.index]))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0; without effect if the curriculum counts iterations."""
        self.epoch = epoch

    def skip(self, samples: int) -> None:
        """Leave out so many samples of this rank, once: a resumed run has seen them."""
        self._skipped = samples

    @property
    def _by_iter(self) -> bool:
        return self._curriculum is not None and not self._curriculum.by_epoch

    @property
    def _grade(self) -> Grade | None:
        return None if self._curriculum is None else self._curriculum.grade_at(self.epoch)

    def _share(self, total: int) -> int:
        return math.ceil((total if self.round_up else total - self.rank) / self.world_size)

    def _generator(self, offset: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + offset)

    def _next_pass(self, grade: Grade | None, generator: torch.Generator) -> list[int]:
        """Order the grade's samples for one pass over them, for all ranks together."""
        order = torch.arange(len(self.dataset)) if grade is None else self._indices[grade.index]
        if self.shuffle:
            order = order[torch.randperm(len(order), generator=generator)]
        if grade is not None and self._turns[grade.index] is not None:
            order = order[torch.argsort(self._turns[grade.index][order], stable=True)]
        return order.tolist()

    def _seeded(self, indices: Sequence[int], grade: Grade | None, *place: int) -> Iterator[int]:
        stream = '/'.join(map(str, (self.seed, *place)))
        strength = 1.0 if grade is None else grade.augmentation
        return (SeededIndex(index, stream, strength) for index in indices)

    def _run(self, skipped: int) -> Iterator[int]:
        """The indices of a run that counts iterations, from the ``skipped``-th on."""
        last = self._curriculum.grades[-1]
        for grade in self._curriculum.grades:
            # Numbers of samples of all ranks together, from the start of the grade.
            stop = math.inf if grade is last else self.num_samples(grade) * self.world_size
            start, position = min(skipped * self.world_size, stop), 0
            skipped -= start // self.world_size
            generator = self._generator(grade.index)
            for number in itertools.count():
                if position >= stop:
                    break
                order = self._next_pass(grade, generator)
                first = max(start - position, 0)
                first += (self.rank - position - first) % self.world_size
                mine = order[first : int(min(len(order), stop - position)) : self.world_size]
                yield from self._seeded(mine, grade, grade.index, number)
                position += len(order)


def _refetch_from_same_class(dataset: Any) -> None:
    """Install :class:`SameClassRefetch` before workers can get copies of the data set."""
    dataset = unsliced(dataset)
    for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())]:
        if inner is not None:
            _refetch_from_same_class(inner)
    prepare = getattr(dataset, 'prepare_data', None)
    if callable(prepare) and not isinstance(prepare, SameClassRefetch):
        dataset.prepare_data = SameClassRefetch(dataset, labels_of)


def check_number_of_classes(names: Sequence[str] | None, curriculum: Curriculum) -> None:
    """Refuse data of another number of classes than the curriculum's; None: not known."""
    # A missing folder changes the numbers of all classes after it.
    if names is not None and len(names) != curriculum.num_classes:
        raise ConfigurationError(
            f'curriculum.num_classes is {curriculum.num_classes}, but the training data have '
            f'{len(names)} classes; they must be equal, as num_classes="auto" makes them and the outputs '
            'of the student'
        )


def _check_classes(names: Sequence[str] | None, curriculum: Curriculum, labels: Tensor) -> None:
    """Refuse data of another number of classes; warn of classes without images."""
    check_number_of_classes(names, curriculum)
    taught = {label: grade.name for grade in curriculum.grades for label in grade.classes}
    empty = sorted(set(taught) - set(labels.tolist()))
    if empty:
        some = ', '.join(
            f'{_class(label, names)} (grade "{taught[label]}")' for label in empty[:5]
        )
        print_log(
            f'The training data hold no image of {len(empty)} of {len(taught)} classes, which will not '
            f'be learnt: {some}{", ..." if len(empty) > 5 else ""}',
            logger='current',
            level=logging.WARNING,
        )


def _class(label: int, names: Sequence[str] | None) -> str:
    """The number of a class and, if it has one, its name."""
    return f'{label}' if names is None else f'{label} "{names[label]}"'


def labels_of(dataset: Any) -> Tensor:
    """Class index of each sample of a data set, shape (N, ), read without loading images."""
    try:
        if hasattr(dataset, 'get_gt_labels'):
            labels = dataset.get_gt_labels()
        elif len(getattr(dataset, 'dataset', ())) == len(dataset):
            # A wrapper, such as MMRazor's CRDDataset, which would draw negatives for each label.
            return labels_of(dataset.dataset)
        elif hasattr(dataset, 'get_data_info'):
            labels = [dataset.get_data_info(index)['gt_label'] for index in range(len(dataset))]
        elif hasattr(dataset, 'get_cat_ids'):
            labels = [dataset.get_cat_ids(index)[0] for index in range(len(dataset))]
        else:
            raise ConfigurationError(
                f'GradeSampler cannot read the labels of the dataset type {type(dataset).__name__}, which '
                'has none of the methods get_gt_labels, get_data_info and get_cat_ids.'
            )
        return torch.tensor([int(label) for label in labels])
    except (KeyError, TypeError) as error:
        raise ConfigurationError(
            f'GradeSampler needs one class label for each sample, but the dataset '
            f'{type(dataset).__name__} has others or none: {reason_of(error)}.'
        ) from error
