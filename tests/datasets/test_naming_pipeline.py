import pytest
import torch
from torch.utils.data import DataLoader

from edudistill_mm.datasets.naming_pipeline import NamingPipeline
from edudistill_mm.errors import DataError


def halve(data):
    if data['sample_idx'] == 3:
        raise OSError('the disk\nhas gone')
    return None if data['sample_idx'] == 4 else dict(data, half=data['sample_idx'] / 2)


class Numbers(torch.utils.data.Dataset):
    pipeline = NamingPipeline(halve, 'Numbers')

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.pipeline(dict(sample_idx=index, img_path=f'images/{index}.png'))['half']


def test_samples_pass_unchanged_and_none_stays_none():
    pipeline = NamingPipeline(halve, 'Numbers')
    assert pipeline(dict(sample_idx=2)) == dict(sample_idx=2, half=1.0)
    assert pipeline(dict(sample_idx=4)) is None


def test_a_failure_names_the_file_or_the_number_of_the_sample():
    pipeline = NamingPipeline(halve, 'Numbers')
    with pytest.raises(DataError) as error:
        pipeline(dict(sample_idx=3, img_path='images/3.png'))
    assert str(error.value) == (
        'the sample "images/3.png" of Numbers cannot be used: the disk (OSError)'
    )
    with pytest.raises(DataError, match='the sample number 3 of Numbers'):
        pipeline(dict(sample_idx=3))


@pytest.mark.parametrize('workers', [0, 1])
def test_a_failure_in_a_worker_is_the_same_sentence(workers):
    with pytest.raises(DataError) as error:
        list(DataLoader(Numbers(), num_workers=workers))
    assert str(error.value) == (
        'the sample "images/3.png" of Numbers cannot be used: the disk (OSError)'
    )
