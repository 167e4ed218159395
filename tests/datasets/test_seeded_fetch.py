import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from edudistill_mm.datasets import GradeSampler
from edudistill_mm.datasets.seeded_fetch import SeededFetch
from edudistill_mm.datasets.seeded_index import SeededIndex


class Noise(Dataset):
    """Each sample is its index and what three generators give."""

    def __len__(self):
        return 10

    def get_gt_labels(self):
        return np.zeros(10, dtype=int)

    def __getitem__(self, index):
        assert type(index) is int
        return index, random.random(), np.random.rand(), torch.rand(1).item()


def as_list(samples):
    return samples


def epoch_of(epoch, **kwargs):
    """The samples of an epoch by their index."""
    data = Noise()
    loader = DataLoader(
        data, batch_size=3, sampler=GradeSampler(data, seed=1), collate_fn=as_list, **kwargs
    )
    for earlier in range(epoch if kwargs.get('persistent_workers') else 0):
        loader.sampler.set_epoch(earlier)
        list(loader)
    loader.sampler.set_epoch(epoch)
    return {sample[0]: sample for batch in loader for sample in batch}


def test_an_index_with_a_seed_is_the_number_also_after_pickling():
    index = pickle.loads(pickle.dumps(SeededIndex(7, '1/2')))
    assert index == 7 and hash(index) == hash(7) and index.stream == '1/2'


def test_a_sample_depends_on_epoch_and_index_only_not_on_workers_or_batches():
    expected = epoch_of(2)
    assert len({sample[1] for sample in expected.values()}) == 10
    assert len({sample[3] for sample in expected.values()}) == 10
    assert epoch_of(2, num_workers=2) == expected
    assert epoch_of(2, num_workers=3, persistent_workers=True) == expected
    assert all(epoch_of(1)[index] != sample for index, sample in expected.items())


def test_loading_leaves_the_random_numbers_of_the_process_alone():
    fetch = SeededFetch(Noise())
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    first = fetch([SeededIndex(3, 'a'), SeededIndex(3, 'b'), SeededIndex(3, 'a')])
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    assert first[0] == first[2] != first[1]


def test_a_plain_index_is_loaded_as_ever():
    torch.manual_seed(0)
    expected = torch.rand(1).item()
    torch.manual_seed(0)
    assert SeededFetch(Noise())([4])[0][3] == pytest.approx(expected)
