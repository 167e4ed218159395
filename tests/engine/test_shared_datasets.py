import pytest
import torch
from mmengine.registry import DATASETS
from toy_images import ToyImages

from edudistill_mm.engine import EducationRunner
from edudistill_mm.engine.shared_datasets import shared_datasets

READ = []


@DATASETS.register_module(force=True)
class CountedImages(ToyImages):
    """Says how often it has been read."""

    def load_data_list(self):
        READ.append(self.counts)
        return super().load_data_list()


def loader(count=8, resident=False, **kwargs):
    return EducationRunner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=0,
            resident=resident,
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='CountedImages', counts=(count,) * 6),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        **kwargs,
    )


@pytest.fixture(autouse=True)
def read():
    READ.clear()
    return READ


@pytest.mark.parametrize('resident', [False, True])
def test_loaders_of_one_data_set_read_it_once_and_get_the_same_images(read, resident):
    with shared_datasets():
        first, second = loader(resident=resident), loader(resident=resident)
    assert len(read) == 1
    alone = loader(resident=resident)
    for one, two, three in zip(first, second, alone):
        images = [torch.stack(list(batch['inputs'])) for batch in (one, two, three)]
        assert torch.equal(images[0], images[1]) and torch.equal(images[0], images[2])
    # What hooks change in one is not changed in the other.
    inner = [getattr(each.dataset, 'dataset', each.dataset) for each in (first, second)]
    assert inner[0].pipeline is not inner[1].pipeline


def test_data_sets_are_told_apart_and_two_are_kept(read):
    with shared_datasets():
        sizes = [len(loader(count).dataset) for count in (1, 2, 1, 2, 3, 1)]
    assert sizes == [6, 12, 6, 12, 18, 6]
    assert [counts[0] for counts in read] == [1, 2, 3, 1]


def test_nothing_is_shared_without_being_asked(read):
    loader()
    with shared_datasets():
        loader()
    loader()
    assert len(read) == 3
