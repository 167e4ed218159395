"""Data sets with mistakes in them: small folders of real image files, read by MMPretrain."""

import copy
import re
import shutil

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image
from run_tool import run_tool
from runs import school_config

from edudistill_mm.apis.test import test as run_test
from edudistill_mm.apis.train import train
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.export_student import export_student

AREA = 'Faulty data'
COUNTS = (8,) * 6


def make_images(folder, counts):
    """A sub-folder of PNG files for each class, the brightness pattern of which is learnt fast."""
    noise = np.random.default_rng(0)
    for label, count in enumerate(counts):
        (folder / f'class_{label}').mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = noise.integers(0, 50, (8, 8, 3)).astype(np.uint8)
            image[label] = image[:, label] = 200
            Image.fromarray(image).save(folder / f'class_{label}' / f'{number}.png')


def school(folder, counts=COUNTS, changes=None, val_counts=(2,) * 6):
    """Config of three grades of an epoch each, without teachers, on image folders.

    With ``changes`` the training data are listed in an annotation file, of which these lines are
    others.
    """
    config = school_config(folder)
    for key in ('teachers', 'distiller'):
        config.model.pop(key)
    for grade in config.model.curriculum.grades:
        grade.pop('teachers')
        grade.epochs = 1
    config.train_cfg.max_epochs = 3
    make_images(folder / 'train', counts)
    make_images(folder / 'val', val_counts)
    for split in ('train', 'val'):
        config[f'{split}_dataloader'].dataset = dict(
            type='CustomDataset',
            data_root=str(folder / split),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
            serialize_data=False,
        )
    if changes is not None:
        lines = {
            f'class_{label}/{number}.png': f' {label}'
            for label, count in enumerate(counts)
            for number in range(count)
        }
        lines.update(changes)
        (folder / 'train.txt').write_text('\n'.join(f'{k}{v}' for k, v in lines.items() if v))
        config.train_dataloader.dataset.ann_file = str(folder / 'train.txt')
    return config


def losses(folder):
    """The losses in the log of a run."""
    log = next((folder / 'run').glob('*/*.log')).read_text()
    return [float(value) for value in re.findall(r' loss: (\S+)', log)], log


# What is wrong -> (counts, changed lines of the annotation file, words of the sentence).
REFUSED = {
    'a grade without any image': ((0, 0, 8, 8, 8, 8), None, ['no sample for the grade "low"']),
    'a label that is too large': (COUNTS, {'class_0/5.png': ' 6'}, ['the label 6', 'from 0 to 5']),
    'a label below zero': (COUNTS, {'class_0/5.png': ' -1'}, ['the label -1', 'from 0 to 5']),
    'a line without a label': (
        COUNTS,
        {'class_0/5.png': ' '},
        ['a path and the number', 'train.txt'],
    ),
    'a name as label': (COUNTS, {'class_0/5.png': ' cat'}, ["'cat'", 'train.txt']),
    'an empty annotation file': ((0,) * 6, {}, ['no sample']),
    'folders without images': ((0,) * 6, None, ['Found 0 files', 'train']),
    'an image that is not there': (
        COUNTS,
        {'class_0/gone.png': ' 0'},
        ['class_0/gone.png', 'No such file'],
    ),
}


def test_wrong_annotations_are_refused_with_their_place(tmp_path, report):
    for number, (what, (counts, changes, words)) in enumerate(REFUSED.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        config = school(folder, counts, changes)
        config.experiment_name = f'{tmp_path.name}_{number}'
        with pytest.raises(ConfigurationError) as error:
            train(RunConfig(config))
        message = str(error.value)
        assert all(word in message for word in words) and '\n' not in message, message
        assert not list((folder / 'run').glob('*.pth')), what
        report(
            AREA, what, 'in the training data', 1, 'refused in one sentence before a step of it'
        )


def test_a_folder_less_is_no_silent_renumbering(tmp_path, report):
    config = school(tmp_path)
    shutil.rmtree(tmp_path / 'train' / 'class_2')
    with pytest.raises(ConfigurationError, match=r'has the class "class_2", .*\(6 and 5\)'):
        train(RunConfig(config))
    # Without other data to compare with, the curriculum tells.
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    with pytest.raises(ConfigurationError, match='num_classes is 6.* have 5 classes'):
        train(RunConfig(config))
    report(
        AREA,
        "the folder of a class is missing, which changes all later classes' numbers",
        'in the training data',
        1,
        'refused in one sentence before the training',
    )


def test_a_validation_without_a_class_counts_the_others_right_or_not_at_all(tmp_path, report):
    config = school(tmp_path)
    shutil.rmtree(tmp_path / 'val' / 'class_2')
    refusal = 'val_dataloader.dataset lacks the class "class_2" of train_dataloader.dataset'
    with pytest.raises(ConfigurationError, match=refusal):
        train(RunConfig(copy.deepcopy(config)))
    with pytest.raises(ConfigurationError, match=refusal):
        Runner.from_cfg(copy.deepcopy(config)).train()
    config.test_dataloader = copy.deepcopy(config.val_dataloader)
    config.test_evaluator, config.test_cfg = config.val_evaluator, dict()
    (tmp_path / 'val' / 'class_2').mkdir()
    config.model.curriculum.grades[-1].epochs, config.train_cfg.max_epochs = 12, 14
    config.train_cfg.val_begin = 14
    config.experiment_name = f'{tmp_path.name}_mended'
    runner = train(RunConfig(copy.deepcopy(config)))
    accuracy = runner.message_hub.get_scalar('val/accuracy/top1').current()
    assert accuracy > 90
    student = str(tmp_path / 'run' / 'student.pth')
    config.experiment_name = f'{tmp_path.name}_test'
    assert run_test(RunConfig(copy.deepcopy(config)), student)['accuracy/top1'] == accuracy
    (tmp_path / 'val' / 'class_2').rmdir()
    for use in (
        lambda: run_test(RunConfig(copy.deepcopy(config)), student),
        lambda: export_student(
            RunConfig(copy.deepcopy(config)),
            str(tmp_path / 'run' / 'epoch_14.pth'),
            str(tmp_path / 'again.pth'),
        ),
    ):
        with pytest.raises(ConfigurationError, match='test_dataloader.dataset lacks .*"class_2"'):
            use()
    report(
        AREA,
        'the folder of a class is missing in the validation and test data',
        'in training, with and without the tools, in testing and in exporting the student',
        4,
        'refused in one sentence that names the class; with an empty folder the accuracy is right',
    )


def test_a_class_renamed_since_is_found_when_a_run_is_resumed(tmp_path):
    config = school(tmp_path)
    train(RunConfig(copy.deepcopy(config)))
    for split in ('train', 'val'):
        (tmp_path / split / 'class_2').rename(tmp_path / split / 'last')
    config.experiment_name = f'{tmp_path.name}_again'
    with pytest.raises(ConfigurationError, match='lacks the class "class_2" of ".*epoch_3.pth"'):
        train(RunConfig(config), resume='auto')


@pytest.mark.parametrize(
    'what, counts',
    [('no image', (8, 0, 8, 8, 8, 8)), ('one image', (8, 1, 8, 8, 8, 8))],
)
def test_a_class_of_hardly_any_images_is_no_obstacle(tmp_path, report, what, counts):
    config = school(tmp_path, counts)
    runner = train(RunConfig(config))
    values, log = losses(tmp_path)
    assert runner.epoch == 3 and np.isfinite(values).all()
    warned = (
        'no image of 1 of 6 classes, which will not be learnt: 1 "class_1" (grade "low")' in log
    )
    assert warned == (what == 'no image')
    report(
        AREA,
        f'a class with {what}',
        'in the first grade',
        1,
        'the run trains to its end' + ('; the log warns of the class' if warned else ''),
    )


def test_a_grade_smaller_than_a_batch_trains_on_what_it_has(tmp_path, report):
    config = school(tmp_path, (2, 1, 8, 8, 8, 8))
    dropping = copy.deepcopy(config)
    dropping.train_dataloader.drop_last = True
    with pytest.raises(ConfigurationError, match='grade "low" without a batch: it has 3 images'):
        train(RunConfig(dropping))
    runner = train(RunConfig(config))
    assert runner.iter == 1 + 3 + 5  # batches of 8 from 3, 19 and 35 images
    report(
        AREA,
        'a grade with fewer images than a batch',
        'with and without `drop_last`',
        2,
        'trained in one small batch; with `drop_last` refused in one sentence',
    )


def test_a_grade_of_iterations_smaller_than_a_batch_repeats_its_images(tmp_path, report):
    config = school(tmp_path, (2, 1, 8, 8, 8, 8))
    for grade in config.model.curriculum.grades:
        grade.pop('epochs')
        grade.iters = 2
    config.train_cfg = dict(by_epoch=False, max_iters=6, val_interval=100)
    config.train_dataloader.drop_last = True
    config.default_hooks.checkpoint.by_epoch = False
    runner = train(RunConfig(config))
    assert runner.iter == 6
    report(
        AREA,
        'a grade with fewer images than a batch, in iterations',
        'with `drop_last`',
        1,
        'the batch is filled by the next pass over the images',
    )


@pytest.mark.parametrize('workers', [0, 2])
def test_an_unreadable_image_ends_the_run_and_a_repaired_one_goes_on(
    tmp_path, capsys, report, workers
):
    config = school(tmp_path)
    config.train_dataloader.num_workers = workers
    config.train_dataloader.persistent_workers = workers > 0
    image = tmp_path / 'train' / 'class_3' / '4.png'
    intact = image.read_bytes()
    image.write_bytes(intact[:40])
    config.dump(str(tmp_path / 'config.py'))
    arguments = [str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'run')]
    with pytest.raises(SystemExit) as end:
        run_tool('train', arguments)
    assert end.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1 and str(image) in lines[0] and 'failed to load image' in lines[0]
    kept = torch.load(tmp_path / 'run' / 'epoch_1.pth')
    assert kept['meta']['education']['grade'] == 'low'
    image.write_bytes(intact)
    run_tool('train', [*arguments, '--resume'])
    assert (tmp_path / 'run' / 'epoch_3.pth').exists() and (
        tmp_path / 'run' / 'student.pth'
    ).exists()
    report(
        AREA,
        f'an image that is cut off after 40 bytes, {workers} workers',
        'in the second grade',
        1,
        'one sentence with its path, exit status 2; after its repair `--resume` goes on',
        'the epoch that was under way',
    )


def test_images_that_a_pipeline_gives_up_are_replaced_by_others_of_their_class(tmp_path, report):
    missing = {f'class_{label}/gone_{n}.png': f' {label}' for label in range(6) for n in range(8)}
    config = school(tmp_path, changes=missing)
    config.train_dataloader.dataset.pipeline[0].ignore_empty = True
    runner = train(RunConfig(config))
    assert runner.epoch == 3 and np.isfinite(losses(tmp_path)[0]).all()
    report(
        AREA,
        'half of all images are not there',
        'with `LoadImageFromFile(ignore_empty=True)`',
        1,
        'each is replaced by another one of its class; at no grade comes a class that is not taught',
    )


def test_a_class_of_which_no_image_can_be_read_is_named(tmp_path, report):
    missing = {f'class_0/{n}.png': '' for n in range(8)}
    config = school(tmp_path, changes=dict(missing, **{'class_0/gone.png': ' 0'}))
    config.train_dataloader.dataset.pipeline[0].ignore_empty = True
    config.train_dataloader.dataset.max_refetch = 3
    with pytest.raises(ConfigurationError, match='of class 0 and 3 draws from the 1 samples'):
        train(RunConfig(config))
    report(
        AREA,
        'no image of a class is there',
        'with `LoadImageFromFile(ignore_empty=True)`',
        1,
        'one sentence that names the class',
    )


def test_an_image_that_the_test_of_the_teachers_cannot_read_is_named(tmp_path):
    config = school_config(tmp_path)
    without_teachers = school(tmp_path)
    config.val_dataloader.dataset = without_teachers.val_dataloader.dataset
    image = tmp_path / 'val' / 'class_0' / '1.png'
    image.write_bytes(image.read_bytes()[:40])
    with pytest.raises(ConfigurationError, match='class_0/1.png.*failed to load image'):
        train(RunConfig(config))


@pytest.mark.parametrize(
    'what, counts, label, words',
    [
        ('no folder with an image', (0,) * 6, None, 'Found 0 files'),
        ('no image of a class taught', (0, 0, 2, 2, 2, 2), None, 'no sample of the seen classes'),
        pytest.param(
            'a label that is too large',
            (2,) * 6,
            6,
            'hold the label 6, but there are 6 classes',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_wrong_validation_data_are_one_sentence(tmp_path, report, what, counts, label, words):
    config = school(tmp_path, val_counts=counts)
    if label is not None:
        (tmp_path / 'val.txt').write_text(f'class_0/0.png 0\nclass_1/1.png {label}')
        config.val_dataloader.dataset.ann_file = str(tmp_path / 'val.txt')
    with pytest.raises(ConfigurationError, match=words):
        train(RunConfig(config))
    report(AREA, what, 'in the validation data', 1, 'one sentence')
