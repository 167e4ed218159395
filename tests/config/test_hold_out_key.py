import pytest
from mmengine.config import Config

from edudistill_mm.apis.teachers import teacher_config
from edudistill_mm.config.complete import complete_config
from edudistill_mm.config.data import build_dataset
from edudistill_mm.config.load import load_config
from edudistill_mm.cost.curriculum_table import curriculum_table
from edudistill_mm.errors import ConfigurationError

DIGITS = 'configs/edu_kd_digits.py'


def images(dataset):
    built = build_dataset(dataset)
    return {built.get_data_info(index)['img'].tobytes() for index in range(len(built))}


def test_training_and_validation_share_the_training_images():
    whole = load_config(DIGITS).cfg
    cfg = load_config(DIGITS, {'hold_out.share': 0.2, 'hold_out.seed': 3}).cfg
    train, validation = images(cfg.train_dataloader.dataset), images(cfg.val_dataloader.dataset)
    assert not train & validation
    assert train | validation == images(whole.train_dataloader.dataset)
    assert cfg.test_dataloader == whole.test_dataloader
    inner = cfg.val_dataloader.dataset.dataset
    assert inner.split == 'train'
    assert inner.pipeline == whole.val_dataloader.dataset.pipeline
    assert cfg.train_dataloader.dataset.dataset == whole.train_dataloader.dataset


def test_a_complete_config_is_not_split_again():
    cfg = load_config(DIGITS, {'hold_out.share': 0.2}).cfg
    again = complete_config(Config(cfg.to_dict())).cfg
    assert again.train_dataloader == cfg.train_dataloader and 'hold_out' not in again


def test_teachers_are_trained_on_the_same_part_and_named_after_it():
    config = 'configs/small/edu-kd_resnet14x2_resnet8_small.py'
    run = load_config(config, {'hold_out.share': 0.1})
    teacher = run.teachers[0]
    assert 'cifar100_20classes_without_0.1_0' in teacher['ckpt']
    trained = teacher_config(run, teacher)
    assert trained.train_dataloader.dataset.dataset.part == 'train'
    assert trained.val_dataloader.dataset.dataset.part == 'held_out'
    # teacher_training says that the teacher has all images of the part.
    fewer = {'train_dataloader.dataset.samples_per_class': 5, 'hold_out.share': 0.1}
    run = load_config(config, fewer)
    student = run.cfg.train_dataloader.dataset
    assert student.samples_per_class == 5
    trained = teacher_config(run, run.teachers[0]).train_dataloader.dataset
    # Both leave out the same images, and the validation has all that are held out.
    assert trained == dict(student, samples_per_class=None)
    assert 'samples_per_class' not in run.cfg.val_dataloader.dataset
    assert '_without_' not in load_config(config).teachers[0]['ckpt']


def test_what_a_teacher_has_of_a_data_set_without_wrappers_goes_inside():
    options = {'hold_out.share': 0.2, 'teacher_training.train_dataloader.dataset.split': 'test'}
    run = load_config('configs/edu_kd_digits.py', options)
    trained = teacher_config(run, run.teachers[0]).train_dataloader.dataset
    while trained.type != 'HoldOut':
        trained = trained.dataset
    assert trained.dataset.split == 'test' and 'split' not in trained


def parts_of(dataset):
    """The parts of HoldOut in a data set, from outside, and the data set itself."""
    found = []
    while 'dataset' in dataset:
        if dataset['type'] == 'HoldOut':
            found.append((dataset['part'], dataset['share'], dataset['seed']))
        dataset = dataset['dataset']
    return found, dataset


@pytest.mark.parametrize('wrapped', [True, False])
def test_a_teacher_with_a_data_set_of_its_own_leaves_out_the_same_images(wrapped):
    own = load_config(DIGITS).cfg.train_dataloader.dataset.to_dict()
    if wrapped:
        own = dict(type='ClassSubset', classes=list(range(10)), dataset=own)
    options = {
        'hold_out.share': 0.2,
        'hold_out.seed': 3,
        'train_dataloader.dataset': dict(own, _delete_=True),
        'teacher_training.train_dataloader.dataset': dict(own, _delete_=True),
    }
    run = load_config(DIGITS, options)
    trained = teacher_config(run, run.teachers[0]).train_dataloader.dataset.to_dict()
    parts, inner = parts_of(trained)
    assert parts == [('train', 0.2, 3)] and inner['split'] == 'train'
    assert not images(trained) & images(run.cfg.val_dataloader.dataset)


def test_what_a_teacher_changes_below_a_wrapper_goes_inside():
    inner = load_config(DIGITS).cfg.train_dataloader.dataset.to_dict()
    options = {
        'hold_out.share': 0.2,
        'train_dataloader.dataset': dict(
            type='ClassSubset', classes=list(range(10)), dataset=inner, _delete_=True
        ),
        'teacher_training.train_dataloader.dataset.dataset.split': 'test',
    }
    run = load_config(DIGITS, options)
    trained = teacher_config(run, run.teachers[0]).train_dataloader.dataset.to_dict()
    parts, inner = parts_of(trained)
    assert parts == [('train', 0.2, 0)] and inner['split'] == 'test'


def test_validation_data_without_a_pipeline_are_refused():
    options = {'hold_out.share': 0.2, 'val_dataloader.dataset.pipeline': None}
    with pytest.raises(
        ConfigurationError, match='pipeline of val_dataloader.dataset, which has none'
    ):
        load_config(DIGITS, options)


def test_a_curriculum_is_counted_on_what_is_left(tmp_path):
    options = {'hold_out.share': 0.1, 'data_root': str(tmp_path)}
    table = curriculum_table(load_config('configs/small/edu-student_resnet8_small.py', options))
    # 20 classes of 450 images in the last grade, 120 epochs long.
    assert f' {9000 * 120:,} ' in table


@pytest.mark.parametrize(
    'options, reason',
    [
        ({'hold_out.shard': 0.1}, 'hold_out has the unknown key "shard" .did you mean "share"'),
        ({'hold_out.share': 2.0}, 'share of hold_out must be a number above 0 and below 1'),
        (
            {'hold_out': 0.1},
            'hold_out must be a dict with the keys share, seed, validate, but got 0.1',
        ),
        ({'hold_out.seed': 1, 'val_dataloader': None}, 'there is no val_dataloader.dataset'),
    ],
)
def test_what_cannot_be_held_out_is_refused(options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        load_config(DIGITS, options)


def test_without_validation_the_images_of_the_test_confirm_what_was_chosen():
    whole = load_config(DIGITS).cfg
    options = {'hold_out.share': 0.2, 'hold_out.validate': False}
    cfg = load_config(DIGITS, options).cfg
    chosen = load_config(DIGITS, {'hold_out.share': 0.2}).cfg
    assert cfg.train_dataloader == chosen.train_dataloader
    assert cfg.val_dataloader == whole.val_dataloader
    assert cfg.dataset_name == chosen.dataset_name
