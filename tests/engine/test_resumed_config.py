import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from runs import scalars, school_config, train

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.engine import EducationRunner
from edudistill_mm.engine.resumed_config import check_resumed_config, start_from_student
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.plain_student import PlainStudent

COSINE = dict(type='CosineAnnealingLR', T_max=30)
RUN = dict(
    model=dict(type='A', size=(1, 2)),
    train_dataloader=dict(batch_size=32, num_workers=2),
    optim_wrapper=dict(
        optimizer=dict(type='SGD', lr=0.05, weight_decay=5e-4), clip_grad=dict(max_norm=5)
    ),
    param_scheduler=[COSINE],
    train_cfg=dict(by_epoch=True, max_epochs=30, val_interval=1),
    work_dir='here',
    load_from=None,
)


def text(**changes):
    cfg = Config(copy.deepcopy(RUN), format_python_code=False)
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return cfg.pretty_text


def said(**changes):
    return check_resumed_config(text(), text(**changes), 'run/epoch_3.pth')


def test_the_same_training_elsewhere_is_no_change():
    assert said(work_dir='there', load_from='x.pth', train_dataloader__num_workers=0) is None
    assert check_resumed_config(Config(RUN).pretty_text, text(), 'run/epoch_3.pth') is None


def test_values_of_optimizer_and_schedules_are_kept_and_all_else_is_followed():
    sentence = said(
        optim_wrapper__optimizer__lr=0.01,
        optim_wrapper__optimizer__weight_decay=0.1,
        optim_wrapper__clip_grad=None,
        param_scheduler=[dict(COSINE, T_max=40)],
        train_dataloader__batch_size=64,
        train_cfg__max_epochs=40,
    )
    assert sentence == (
        'The config has changed since the run began. Not followed, because optimizer and schedules '
        'go on as they are in the checkpoint: optim_wrapper.optimizer.lr is 0.01, was 0.05; '
        'optim_wrapper.optimizer.weight_decay is 0.1, was 0.0005; param_scheduler.0.T_max is 40, '
        'was 30. For a run by these values begin a new run from its student by --cfg-options '
        'load_from=run/epoch_3.pth. Followed from here on: optim_wrapper.clip_grad is None, was '
        "{'max_norm': 5}; train_cfg.max_epochs is 40, was 30; train_dataloader.batch_size is 64, "
        'was 32.'
    )


@pytest.mark.parametrize(
    'changes',
    [
        dict(optim_wrapper__optimizer__type='AdamW'),
        dict(param_scheduler=[dict(COSINE, type='LinearLR')]),
        dict(param_scheduler=[COSINE, COSINE]),
        dict(param_scheduler=None),
    ],
)
def test_states_of_another_kind_of_optimizer_or_schedule_are_refused(changes):
    message = r'cannot resume from "run/epoch_3.pth" .*another kind: .* was .*new run.*load_from='
    with pytest.raises(ConfigurationError, match=message):
        said(**changes)


def test_a_config_is_read_and_never_executed(tmp_path):
    ran = tmp_path / 'ran'
    hostile = f"model = __import__('pathlib').Path({str(ran)!r}).touch()"
    sentence = check_resumed_config(hostile, text(), 'run/epoch_3.pth')
    assert sentence.startswith('"run/epoch_3.pth" does not say by which config it was written')
    assert check_resumed_config(None, text(), 'run/epoch_3.pth') == sentence
    assert not ran.exists()


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run of three grades: its config and its folder."""
    folder = tmp_path_factory.mktemp('school')
    config = school_config(folder)
    config.default_hooks.checkpoint.max_keep_ckpts = -1
    train(copy.deepcopy(config))
    return config, folder / 'run'


def resumed(finished, tmp_path, **changes):
    config = copy.deepcopy(finished[0])
    config.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    path = finished[1] / 'epoch_5.pth'
    config.update(
        resume=True, load_from=str(path), work_dir=str(tmp_path), experiment_name=tmp_path.name
    )
    train(config)
    return next(tmp_path.glob('*/*.log')).read_text()


def test_a_run_with_another_learning_rate_says_that_it_keeps_its_own(finished, tmp_path):
    log = resumed(finished, tmp_path, optim_wrapper__optimizer__lr=0.01)
    assert log.count('optim_wrapper.optimizer.lr is 0.01, was 0.05') == 1
    assert 'load_from=' + str(finished[1] / 'students' / 'epoch_5.pth') in log
    assert {row['lr'] for row in scalars(tmp_path)[0]} == {0.05}


@pytest.mark.parametrize(
    'changes, had',
    [
        (dict(train_dataloader__batch_size=4), 'grade "low" had 2 batches and has 4 now'),
        (
            dict(train_dataloader__dataset__counts=(10, 6, 8, 8, 7, 49)),
            '"high" had 6 batches and has',
        ),
    ],
)
def test_epochs_of_other_lengths_cannot_be_resumed(finished, tmp_path, changes, had):
    with pytest.raises(ConfigurationError) as error:
        resumed(finished, tmp_path, **changes)
    message = str(error.value)
    assert f'cannot resume from "{finished[1]}/epoch_5.pth": an epoch of grade' in message
    assert had in message and '--cfg-options load_from=' in message and '\n' not in message


def test_epochs_of_other_lengths_show_in_checkpoints_of_earlier_versions_as_well(
    finished, tmp_path
):
    file = tmp_path / 'old.pth'
    checkpoint = torch.load(finished[1] / 'epoch_5.pth', weights_only=True)
    del checkpoint['meta']['education']['batches']
    torch.save(checkpoint, file)
    config = copy.deepcopy(finished[0])
    config.update(resume=True, load_from=str(file), work_dir=str(tmp_path), experiment_name='old')
    train(copy.deepcopy(config))
    config.train_dataloader.batch_size, config.experiment_name = 4, 'old again'
    with pytest.raises(
        ConfigurationError, match='epochs had another number of batches than now, 12'
    ):
        train(config)


def test_a_run_in_a_lower_grade_goes_on_from_its_own_checkpoint(finished):
    lower, last = (start_from_student(str(finished[1] / f'epoch_{at}.pth')) for at in (1, 7))
    assert lower.endswith('/run/epoch_1.pth') and last.endswith('/run/students/epoch_7.pth')


def test_a_grade_of_another_depth_is_not_that_of_the_checkpoint(finished):
    config = copy.deepcopy(finished[0])
    config.model.curriculum.grades[0].fragments = 2
    path = str(finished[1] / 'epoch_1.pth')
    with pytest.raises(
        ConfigurationError, match='in grade "low" with 1 fragments, of which the con'
    ):
        PlainStudent.of_checkpoint(RunConfig(config), path)
    config.update(load_from=path, train_cfg=None, optim_wrapper=None, train_dataloader=None)
    config.update(work_dir=str(finished[1] / 'test'), experiment_name='depth')
    config.update(test_dataloader=config.val_dataloader, test_evaluator=config.val_evaluator)
    config.update(test_cfg=dict(), val_dataloader=None, val_cfg=None, val_evaluator=None)
    with pytest.raises(ConfigurationError, match='in grade "low" with 1 fragments'):
        EducationRunner.from_completed_cfg(config).test()


def test_a_run_that_goes_on_unchanged_says_nothing(finished, tmp_path):
    assert 'The config has changed' not in resumed(finished, tmp_path)


def test_a_grade_cannot_be_prolonged_and_the_refusal_says_how_to_go_on(finished, tmp_path):
    config = copy.deepcopy(finished[0])
    config.model.curriculum.grades[2].epochs = 5
    config.train_cfg.max_epochs = 9
    last = finished[1] / 'epoch_7.pth'
    config.update(resume=True, load_from=str(last), work_dir=str(tmp_path), experiment_name='long')
    student = Path(last.parent, 'students', last.name)
    with pytest.raises(ConfigurationError) as error:
        train(config)
    assert str(error.value) == (
        f'cannot resume from "{last}": it belongs to another curriculum: grade 3 "high": epochs 5, '
        'was 3; to train longer or otherwise, begin a new run from its student by --cfg-options '
        f'load_from={student}'
    )
    # And so it goes on: in the last grade alone, with the weights that it had.
    grades = [dict(epochs=1, fragments=3, classes='all')]
    config.model.update(curriculum=dict(num_classes=6, grades=grades), teachers=[], distiller=None)
    config.train_cfg.max_epochs = 1
    config.optim_wrapper.optimizer.lr = 1e-12
    config.update(resume=False, load_from=str(student), experiment_name='longer')
    weights = train(config).model.student.cpu().state_dict()
    before = torch.load(student, weights_only=True)['state_dict']
    assert torch.allclose(weights['head.fc.weight'], before['head.fc.weight'])
