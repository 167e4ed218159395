import pytest
from mmengine.config import Config

from edudistill_mm.apis.tta import prepare_tta
from edudistill_mm.config.load import load_config
from edudistill_mm.config.resident import check_resident, with_resident_data
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.datasets import ResidentDataset
from edudistill_mm.errors import ConfigurationError

DIGITS = 'configs/edu_kd_digits.py'


def run_of(dataset, resident=True):
    loader = dict(batch_size=4, dataset=dataset, sampler=dict(type='GradeSampler'))
    return RunConfig(Config(dict(model=dict(), train_dataloader=dict(loader, resident=resident))))


def digits(*transforms):
    return dict(type='Digits', pipeline=[*transforms, dict(type='PackInputs')])


def test_a_transform_that_resident_data_lack_is_refused_with_both_ways_out():
    jitter = dict(type='ColorJitter', brightness=0.2)
    with pytest.raises(ConfigurationError) as error:
        check_resident(run_of(digits(jitter)))
    text = str(error.value)
    assert text.startswith('train_dataloader.dataset.pipeline: ')
    assert 'ColorJitter' in text and 'RandomCrop' in text
    assert text.endswith('train_dataloader.resident=False')
    check_resident(run_of(digits(jitter), resident=False))


def test_a_collate_fn_that_would_not_be_called_is_refused():
    run = run_of(digits())
    run.cfg.train_dataloader.collate_fn = dict(type='stacked_batch', one_sample=True)
    check_resident(run)
    run.cfg.train_dataloader.collate_fn = dict(type='mixing_collate')
    with pytest.raises(ConfigurationError, match='collate_fn of type mixing_collate.*resident=F'):
        check_resident(run)


def test_a_wrapper_that_answers_samples_of_its_own_is_refused():
    wrapped = dict(type='RepeatDataset', times=2, dataset=digits())
    with pytest.raises(ConfigurationError, match='RepeatDataset cannot be resident'):
        check_resident(run_of(wrapped))
    check_resident(run_of(dict(type='ClassSubset', classes=[1], dataset=digits())))


def test_a_data_set_that_makes_its_pipeline_is_not_judged_before_it_is_built():
    check_resident(run_of(dict(type='ToyImages')))


def test_the_data_loader_is_left_as_it_was_but_for_workers():
    given = dict(
        batch_size=4,
        num_workers=3,
        persistent_workers=True,
        drop_last=True,
        dataset=digits(),
        sampler=dict(type='GradeSampler'),
        resident=dict(views_per_image=3, device='cpu'),
    )
    made = with_resident_data(given)
    assert made['drop_last'] and made['batch_size'] == 4 and made['num_workers'] == 0
    assert 'persistent_workers' not in made and 'resident' not in made
    dataset = made['dataset']
    assert dataset['type'] is ResidentDataset and dataset['dataset'] == given['dataset']
    assert dataset['views_per_image'] == 3 and not dataset['training']
    assert with_resident_data(given, training=True)['dataset']['training']
    plain = with_resident_data(dict(given, resident=False))
    assert plain == {key: value for key, value in given.items() if key != 'resident'}


def test_views_and_switches_are_set_on_the_command_line():
    few = load_config(DIGITS, {'train_dataloader.resident.views_per_image': 4})
    assert few.cfg.train_dataloader.resident == dict(views_per_image=4)
    off = load_config(DIGITS, {'train_dataloader.resident': False}).cfg
    assert off.train_dataloader.resident is False


@pytest.mark.parametrize('views', [0, 1.5, 10**22])
def test_a_number_of_views_that_cannot_be_counted_is_refused(views):
    with pytest.raises(ConfigurationError, match='views_per_image must be .* at most 2147483647'):
        check_resident(run_of(digits(), resident=dict(views_per_image=views)))


def test_several_views_of_an_image_at_once_come_from_a_data_loader():
    cfg = load_config(DIGITS).cfg
    prepare_tta(cfg)
    assert 'resident' not in cfg.test_dataloader
