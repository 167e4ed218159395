import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from edudistill_mm.datasets import stacked_batch


def samples(sizes=((4, 5),) * 3, **fields):
    made = []
    for number, size in enumerate(sizes):
        sample = DataSample(metainfo=dict(sample_idx=number + 10)).set_gt_label(number)
        for name, value in fields.items():
            sample.set_field(value, name)
        made.append(
            dict(inputs=torch.full((3, *size), number, dtype=torch.uint8), data_samples=sample)
        )
    return made


@pytest.mark.parametrize('one_sample', [False, True])
def test_a_stack_is_preprocessed_to_what_a_list_is(one_sample):
    preprocessor = ClsDataPreprocessor(mean=[1.0] * 3, std=[2.0] * 3, to_rgb=True)
    given = samples()
    lists = {key: [sample[key] for sample in given] for key in ('inputs', 'data_samples')}
    expected = preprocessor(lists, True)
    batch = preprocessor(stacked_batch(samples(), one_sample), True)
    assert torch.equal(batch['inputs'], expected['inputs'])
    labels = [torch.cat([s.gt_label for s in b['data_samples']]) for b in (batch, expected)]
    assert torch.equal(*labels)
    assert len(batch['data_samples']) == (1 if one_sample else 3)


def test_one_sample_says_the_numbers_of_all():
    (sample,) = stacked_batch(samples(), one_sample=True)['data_samples']
    assert sample.sample_idx.tolist() == [10, 11, 12]


def test_samples_that_have_more_than_a_label_stay_apart():
    batch = stacked_batch(samples(contrast_sample_idxs=torch.arange(4)), one_sample=True)
    assert len(batch['data_samples']) == 3


def test_images_of_several_sizes_stay_a_list():
    batch = stacked_batch(samples(((4, 5), (5, 4))), one_sample=True)
    assert [tuple(image.shape) for image in batch['inputs']] == [(3, 4, 5), (3, 5, 4)]
    assert len(batch['data_samples']) == 2
