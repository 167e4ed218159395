"""Runs whose grades augment only some of the images."""

import copy
from pathlib import Path

import pytest
from killed_runs import PipedImages  # noqa: F401
from runs import scalars, school_config, train

from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError


@pytest.fixture
def config(tmp_path):
    config = school_config(tmp_path)
    for grade, epochs, strength in zip(config.model.curriculum.grades, (1, 2, 1), (0, 0.5, 1)):
        grade.update(epochs=epochs, augmentation=strength)
    config.train_cfg.max_epochs = 4
    loader = config.train_dataloader
    loader.pop('collate_fn')
    loader.resident = True
    loader.dataset.update(
        type='PipedImages',
        pipeline=[dict(type='RandomCrop', crop_size=8, padding=1), dict(type='PackInputs')],
    )
    return config


def test_a_run_of_growing_strength_is_resumed_bit_for_bit_and_with_its_own_strengths_only(config):
    whole = train(copy.deepcopy(config))
    steps, _ = scalars(config.work_dir)
    log = Path(whole.log_dir, f'{whole.timestamp}.log').read_text()
    shown = [line.strip() for line in log.splitlines() if '  augmentation: ' in line]
    assert shown == ['augmentation: 0 of the images', 'augmentation: 0.5 of the images']

    # In the middle of the second grade.
    again = copy.deepcopy(config)
    again.update(
        work_dir=f'{config.work_dir}_again',
        resume=True,
        load_from=f'{config.work_dir}/epoch_2.pth',
        experiment_name=f'{config.experiment_name}_again',
    )
    other = copy.deepcopy(again)
    train(again)
    later, _ = scalars(again.work_dir)
    assert 0 < len(later) < len(steps)
    assert [row['loss'] for row in later] == [row['loss'] for row in steps[-len(later) :]]

    other.model.curriculum.grades[1].augmentation = 0.25
    other.experiment_name += '_other'
    with pytest.raises(ConfigurationError, match='"mid": augmentation 0.25, was 0.5'):
        train(other)


def without_resident_data(loader):
    loader.resident = False


def with_random_views(loader):
    loader.resident = dict(views_per_image=4)


def with_random_views_by_hand(loader):
    loader.dataset = dict(type='ResidentDataset', dataset=loader.dataset, views_per_image=4)
    loader.update(resident=False, collate_fn=dict(type='whole_batch'))


def with_another_sampler(loader):
    loader.sampler = dict(type='DefaultSampler', shuffle=True)


@pytest.mark.parametrize(
    'change, sentence',
    [
        (
            without_resident_data,
            r'curriculum.grades\[0\].augmentation is 0, but other data than resident ones .*'
            r'train_dataloader.resident=True',
        ),
        (
            with_random_views,
            r'augmentation is 0, but the 4 random views of .* have no neutral one',
        ),
        (with_random_views_by_hand, 'the 4 random views of'),
        (with_another_sampler, r'must be dict\(type="GradeSampler"\), .* augmentation'),
    ],
)
def test_data_that_cannot_follow_are_refused_before_the_first_step(config, change, sentence):
    config.model.curriculum.grades = [dict(epochs=4, fragments=3, classes='all', augmentation=0)]
    for teacher in config.model.teachers:
        teacher.classes = [0, 1]
    change(config.train_dataloader)
    with pytest.raises(ConfigurationError, match=sentence):
        check_config(RunConfig(config))
    # With MMEngine's own runner nothing else checks the config.
    with pytest.raises(ConfigurationError, match=sentence):
        train(config)
