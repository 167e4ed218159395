import numpy as np
import pytest
from mmengine.dataset import BaseDataset, RepeatDataset
from mmengine.runner.runner import _SlicedDataset

from edudistill_mm.datasets import ClassSubset, GradeSampler
from edudistill_mm.datasets.reading_errors import name_samples
from edudistill_mm.errors import DataError

LABELS = [0, 0, 0, 1, 1, 2, 2, 2]


class Fragile(BaseDataset):
    """Eight samples of three classes, some of which cannot be read."""

    def __init__(self, broken, **kwargs):
        self.read = []
        super().__init__(pipeline=[lambda data: self.give(data, broken)], **kwargs)

    def give(self, data, broken):
        self.read.append(data['sample_idx'])
        return None if data['sample_idx'] in broken else data

    def load_data_list(self):
        return [dict(gt_label=label) for label in LABELS]


def test_a_sample_that_is_given_up_is_replaced_within_its_class():
    dataset = Fragile(broken=(1, 3, 5))
    GradeSampler(dataset)
    np.random.seed(0)
    for index, label in enumerate(LABELS):
        drawn = {dataset[index]['sample_idx'] for _ in range(20)}
        expected = {
            other for other in range(8) if LABELS[other] == label and other not in (1, 3, 5)
        }
        assert drawn == (expected if index in (1, 3, 5) else {index})


def test_the_data_set_inside_of_a_wrapper_counts_and_two_samplers_are_one():
    dataset = Fragile(broken=(3,))
    for _ in range(2):
        GradeSampler(RepeatDataset(dataset, times=2))
    assert RepeatDataset(dataset, times=2)[8 + 3]['sample_idx'] == 4
    assert len(dataset.read) <= 1 + 50


@pytest.mark.parametrize('sliced', [False, True])
def test_parts_of_a_data_set_replace_a_sample_within_its_class_too(sliced):
    part = ClassSubset(Fragile(broken=(0,)), classes=[2, 1])
    assert [int(label) for label in part.get_gt_labels()] == [1, 1, 0, 0, 0]
    cut = _SlicedDataset(part, 4) if sliced else part
    GradeSampler(cut)
    np.random.seed(0)
    drawn = [cut[0] for _ in range(20)]
    assert {sample['sample_idx'] for sample in drawn} == {1}
    assert {sample['gt_label'] for sample in drawn} == {1}


def test_the_beginning_of_a_data_set_names_what_cannot_be_read():
    def fail(data):
        raise OSError('gone')

    dataset = Fragile(broken=())
    dataset.pipeline = fail
    cut = _SlicedDataset(dataset, 4)
    name_samples(cut)
    with pytest.raises(DataError, match='the sample number 2 of Fragile'):
        cut[2]


def test_a_class_that_cannot_be_read_at_all_is_named():
    dataset = Fragile(broken=(3, 4), max_refetch=5)
    GradeSampler(dataset)
    with pytest.raises(DataError, match='sample 3 of class 1 and 5 draws from the 2 samples'):
        dataset[3]
    assert len(dataset.read) == 6
