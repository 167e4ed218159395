import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import (
    BaseDataset,
    ConcatDataset,
    DefaultSampler,
    InfiniteSampler,
    RepeatDataset,
)
from torch.utils.data import DataLoader

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.datasets import GradeSampler
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.registry import DATA_SAMPLERS


class Labels(BaseDataset):
    """A dataset of nothing but labels."""

    def __init__(self, labels, classes=None):
        self.labels = [int(label) for label in labels]
        super().__init__(metainfo=dict(classes=classes) if classes else None, serialize_data=False)

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.labels]


def curriculum_of(unit='epochs', lengths=(2, 3), counts=(3, 7), **options):
    """One grade per entry; each adds the next ``counts`` classes."""
    grades = [
        {unit: length, 'classes': count, **options} for length, count in zip(lengths, counts)
    ]
    return Curriculum.from_cfg(dict(num_classes=sum(counts), grades=grades))


def sampler_of(
    labels, curriculum, rank=0, world_size=1, batch_size=4, teacher_classes=None, **kwargs
):
    sampler = GradeSampler(Labels(labels), **{'seed': 0, **kwargs})
    sampler.rank, sampler.world_size = rank, world_size
    sampler.attach(curriculum, teacher_classes or {}, batch_size)
    return sampler


def at_epoch(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def default_order(size, epoch, rank, world_size, **kwargs):
    """Order of MMEngine's sampler on one of several ranks; it computes its lengths at
    construction."""
    sampler = DefaultSampler(Labels([0] * size), **kwargs)
    sampler.rank, sampler.world_size = rank, world_size
    sampler.num_samples = (
        -(-size // world_size) if sampler.round_up else -(-(size - rank) // world_size)
    )
    sampler.total_size = sampler.num_samples * world_size if sampler.round_up else size
    sampler.set_epoch(epoch)
    return list(sampler), len(sampler)


def test_registered_by_its_bare_name_and_in_its_own_node():
    for registry in (DATA_SAMPLERS, DATA_SAMPLERS.root):
        assert registry.get('GradeSampler') is GradeSampler


sizes_and_ranks = st.tuples(st.integers(1, 40), st.integers(1, 4)).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.integers(0, pair[1] - 1), st.just(pair[1]))
)


@settings(deadline=None)
@given(sizes_and_ranks, st.booleans(), st.booleans(), st.integers(0, 5), st.integers(0, 99))
def test_order_is_that_of_default_sampler_unless_classes_are_missing(
    layout, shuffle, round_up, epoch, seed
):
    size, rank, world_size = layout
    kwargs = dict(shuffle=shuffle, round_up=round_up, seed=seed)
    order, length = default_order(size, epoch, rank, world_size, **kwargs)
    sampler = GradeSampler(Labels(index % 10 for index in range(size)), **kwargs)
    sampler.rank, sampler.world_size = rank, world_size
    assert at_epoch(sampler, epoch) == order and len(sampler) == length
    sampler.attach(curriculum_of(lengths=(10,), counts=(10,)), {}, 4)
    assert at_epoch(sampler, epoch) == order and len(sampler) == length


def test_the_last_of_several_grades_is_default_sampler_at_the_same_epoch():
    sampler = sampler_of(list(range(10)) * 3, curriculum_of())
    for epoch in (2, 3, 4):
        assert at_epoch(sampler, epoch) == default_order(30, epoch, 0, 1, seed=0)[0]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
def test_each_sample_of_the_seen_classes_comes_once_per_epoch(
    labels, world_size, shuffle, round_up
):
    labels += [0]  # so that the first grade has a sample
    curriculum = curriculum_of(lengths=(1, 2, 1), counts=(2, 5, 3))
    samplers = [
        sampler_of(labels, curriculum, rank, world_size, shuffle=shuffle, round_up=round_up)
        for rank in range(world_size)
    ]
    for epoch in range(curriculum.length):
        seen = curriculum.grade_at(epoch).seen
        expected = [index for index, label in enumerate(labels) if label in seen]
        shares = [at_epoch(sampler, epoch) for sampler in samplers]
        drawn = Counter(itertools.chain(*shares))
        assert set(drawn) == set(expected)
        assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]
        if round_up:  # every rank as many, filled up with less than one sample per rank
            assert len({len(share) for share in shares}) == 1
            assert 0 <= drawn.total() - len(expected) < world_size
        else:
            assert set(drawn.values()) == {1}


def test_shuffling_differs_from_epoch_to_epoch_and_repeats_for_the_same_epoch():
    sampler = sampler_of(list(range(10)) * 5, curriculum_of())
    first, second = at_epoch(sampler, 0), at_epoch(sampler, 1)
    assert sorted(first) == sorted(second) and first != second
    assert at_epoch(sampler, 0) == first
    assert at_epoch(sampler_of(list(range(10)) * 5, curriculum_of(), seed=1), 0) != first


def test_length_follows_the_grade_for_a_data_loader_with_persistent_workers():
    labels = torch.arange(10).repeat(4).tolist()
    sampler = sampler_of(labels, curriculum_of())
    loader = DataLoader(
        Labels(labels),
        batch_size=4,
        sampler=sampler,
        num_workers=2,
        persistent_workers=True,
        collate_fn=lambda samples: [sample['gt_label'] for sample in samples],
    )
    for epoch, grade_classes, batches in ((1, range(3), 3), (2, range(10), 10)):
        sampler.set_epoch(epoch)
        assert len(loader) == batches
        assert Counter(itertools.chain(*loader)) == {label: 4 for label in grade_classes}


def test_num_samples_per_grade():
    curriculum = curriculum_of()
    labels = list(range(10)) * 5
    sampler = sampler_of(labels, curriculum, rank=1, world_size=4, round_up=False)
    assert [sampler.num_samples(grade) for grade in curriculum.grades] == [4, 13]
    assert [
        sampler_of(labels, curriculum, rank=3, world_size=4, round_up=False).num_samples(grade)
        for grade in curriculum.grades
    ] == [3, 12]
    by_iter = curriculum_of('iters', lengths=(6, 2))
    sampler = sampler_of(labels, by_iter, world_size=4, batch_size=8)
    assert [sampler.num_samples(grade) for grade in by_iter.grades] == [48, 16] and len(
        sampler
    ) == 64


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=30),
    st.lists(st.integers(1, 6), min_size=3, max_size=3),
    st.integers(1, 5),
    st.integers(1, 3),
    st.booleans(),
)
def test_each_iteration_holds_only_seen_classes(labels, lengths, batch_size, world_size, shuffle):
    labels += [0]
    curriculum = curriculum_of('iters', lengths, counts=(2, 5, 3))
    for rank in range(world_size):
        sampler = sampler_of(labels, curriculum, rank, world_size, batch_size, shuffle=shuffle)
        indices = iter(sampler)
        for iteration in range(curriculum.length + 3):  # workers read on past the end
            batch = list(itertools.islice(indices, batch_size))
            assert len(batch) == batch_size
            assert {labels[index] for index in batch} <= set(curriculum.grade_at(iteration).seen)
        assert list(itertools.islice(sampler, 50)) == list(itertools.islice(sampler, 50))


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 4))
def test_iterations_pass_over_the_data_of_the_grade_again_and_again(passes, world_size):
    labels = list(range(10)) * 4  # 12 samples of the first grade
    curriculum = curriculum_of('iters', lengths=(passes * 12, 40))
    samplers = [
        sampler_of(labels, curriculum, rank, world_size, batch_size=1)
        for rank in range(world_size)
    ]
    shares = [list(itertools.islice(sampler, curriculum.length)) for sampler in samplers]
    stream = list(itertools.chain(*zip(*shares)))
    promotion = passes * 12 * world_size
    for start in range(0, promotion, 12):
        assert sorted(stream[start : start + 12]) == [
            index for index in range(40) if labels[index] < 3
        ]
    for start in range(promotion, len(stream), 40):
        assert sorted(stream[start : start + 40]) == list(range(40))
    assert (
        len({tuple(stream[start : start + 12]) for start in range(0, promotion, 12)})
        == passes * world_size
    )


@pytest.mark.parametrize('world_size, rank', [(1, 0), (3, 0), (3, 2)])
@pytest.mark.parametrize('shuffle', [True, False])
def test_iterations_of_one_grade_of_all_classes_are_infinite_sampler(world_size, rank, shuffle):
    labels = list(range(10)) * 2
    curriculum = curriculum_of('iters', (5,), (10,))
    sampler = sampler_of(labels, curriculum, rank, world_size, seed=3, shuffle=shuffle)
    reference = InfiniteSampler(Labels(labels), seed=3, shuffle=shuffle)
    reference.rank, reference.world_size = rank, world_size
    assert list(itertools.islice(sampler, 70)) == list(itertools.islice(reference, 70))


def test_promotions_fall_on_batch_borders_however_far_workers_read_ahead():
    labels = torch.arange(10).repeat(8).tolist()
    curriculum = curriculum_of('iters', lengths=(7, 9))
    loader = DataLoader(
        Labels(labels),
        batch_size=4,
        sampler=sampler_of(labels, curriculum),
        num_workers=2,
        prefetch_factor=4,
        collate_fn=lambda samples: [sample['gt_label'] for sample in samples],
    )
    assert len(loader) == curriculum.length
    batches = list(itertools.islice(loader, curriculum.length))
    assert all(max(batch) < 3 for batch in batches[:7])
    assert any(max(batch) >= 3 for batch in batches[7:])


def by_teacher():
    grades = [dict(epochs=1, classes='all', samples='by_teacher')]
    return Curriculum.from_cfg(dict(num_classes=10, grades=grades), ['first', 'second'])


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('world_size', [1, 2])
def test_by_teacher_takes_the_classes_of_one_teacher_after_the_other(shuffle, world_size):
    labels = list(range(10)) * 6
    teacher_classes = dict(second=(7, 3, 4, 8), first=(5, 4, 3))
    orders = [
        sampler_of(
            labels,
            by_teacher(),
            rank,
            world_size,
            teacher_classes=teacher_classes,
            shuffle=shuffle,
        )
        for rank in range(world_size)
    ]
    order = list(itertools.chain(*zip(*orders)))
    assert sorted(order) == list(range(60))
    classes = [labels[index] for index in order]
    assert Counter(classes[:18]) == {
        3: 6,
        4: 6,
        5: 6,
    }  # both teach 3 and 4: with the first to join, and once
    assert Counter(classes[18:30]) == {7: 6, 8: 6}
    assert set(classes[30:]) == {0, 1, 2, 6, 9}  # nobody's
    for part in (order[:18], order[18:30], order[30:]):
        assert (part == sorted(part)) != shuffle


def test_by_teacher_in_each_pass_of_an_iteration_based_grade():
    grades = [dict(iters=6, classes='all', samples='by_teacher')]
    curriculum = Curriculum.from_cfg(dict(num_classes=4, grades=grades), ['first', 'second'])
    labels = [0, 1, 2, 3] * 3
    sampler = sampler_of(labels, curriculum, teacher_classes=dict(first=(2, 3), second=(0, 1)))
    classes = [labels[index] >= 2 for index in itertools.islice(sampler, 24)]
    assert classes == ([True] * 6 + [False] * 6) * 2


def test_a_teacher_who_has_not_joined_yet_has_no_turn():
    grades = [
        dict(epochs=1, classes='all', samples='by_teacher', teachers=['late']),
        dict(epochs=1, teachers=['early'], samples='by_teacher'),
    ]
    curriculum = Curriculum.from_cfg(dict(num_classes=4, grades=grades), ['early', 'late'])
    labels = [0, 1, 2, 3]
    sampler = sampler_of(
        labels, curriculum, shuffle=False, teacher_classes=dict(early=(1, 3), late=(2, 3))
    )
    assert at_epoch(sampler, 0) == [2, 3, 0, 1]
    assert at_epoch(sampler, 1) == [2, 3, 1, 0]


class CatIds(torch.utils.data.Dataset):
    """A dataset that tells its labels by nothing but ``get_cat_ids``."""

    def __len__(self):
        return 4

    def get_cat_ids(self, index):
        return [index % 2]


class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 4


@pytest.mark.parametrize(
    'dataset',
    [RepeatDataset(Labels([0, 1]), 2), ConcatDataset([Labels([0, 1]), Labels([0, 1])]), CatIds()],
)
def test_labels_of_wrappers_and_of_other_datasets(dataset):
    sampler = GradeSampler(dataset, shuffle=False)
    sampler.attach(curriculum_of(counts=(1, 1)), {}, 1)
    assert list(sampler) == [0, 2]


def test_labels_by_get_gt_labels_of_mmpretrain():
    from mmpretrain.datasets import BaseDataset as PretrainDataset

    class PretrainLabels(PretrainDataset):
        def load_data_list(self):
            return [dict(gt_label=label) for label in (1, 0, 1, 0)]

    sampler = GradeSampler(PretrainLabels(''), shuffle=False)
    sampler.attach(curriculum_of(counts=(1, 1)), {}, 1)
    assert list(sampler) == [1, 3]


def test_refuses_a_dataset_without_labels():
    with pytest.raises(ConfigurationError, match='dataset type Images'):
        GradeSampler(Images()).attach(curriculum_of(), {}, 1)


def test_refuses_a_grade_without_samples():
    with pytest.raises(
        ConfigurationError, match='no sample for the grade "grade1".* classes are 0, 1, 2'
    ):
        sampler_of([3, 4, 5], curriculum_of())


def test_names_the_classes_of_a_grade_without_samples():
    letters = Labels([6], classes='abcdefg')
    sampler = GradeSampler(letters, seed=0)
    with pytest.raises(ConfigurationError, match='are 0 "a", 1 "b", 2 "c", 3 "d", 4 "e", ...'):
        sampler.attach(curriculum_of(counts=(6, 1)), {}, 1)


@pytest.mark.parametrize('label', [10, -1])
def test_refuses_labels_that_are_no_class_of_the_curriculum(label):
    with pytest.raises(ConfigurationError, match=f'num_classes is 10, but .* the label {label};'):
        sampler_of([0, label], curriculum_of())


@settings(deadline=None)
@given(
    st.sampled_from(['epochs', 'iters']),
    st.integers(1, 3),
    st.integers(0, 40),
    st.booleans(),
    st.booleans(),
)
def test_skipping_leaves_out_the_beginning_of_the_next_iteration_only(
    unit, world_size, skipped, shuffle, by_teacher
):
    options = dict(samples='by_teacher', teachers=[]) if by_teacher else {}
    curriculum = curriculum_of(unit, lengths=(3, 4, 2), counts=(2, 5, 3), **options)
    for rank in range(world_size):
        labels = list(range(10)) * 3
        sampler = sampler_of(labels, curriculum, rank, world_size, 3, shuffle=shuffle)

        def drawn(sampler=sampler):
            order = itertools.islice(sampler, 60)
            return [(int(index), index.stream) for index in order]

        whole = drawn()
        sampler.skip(skipped)
        rest = drawn()
        assert rest[: len(whole) - skipped] == whole[skipped:]
        assert drawn() == whole
