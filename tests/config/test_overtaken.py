from pathlib import Path

import pytest

from edudistill_mm.config.load import load_config
from edudistill_mm.errors import ConfigurationError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
DIGITS = str(CONFIGS / 'edu_kd_digits.py')


@pytest.fixture
def load(tmp_path):
    """Loads a config of some files, given as name=text, by the first of them."""

    def load(options=None, **files):
        for name, text in files.items():
            (tmp_path / f'{name}.py').write_text(text)
        return load_config(str(tmp_path / f'{next(iter(files))}.py'), options).cfg

    return load


def test_a_variable_with_which_a_base_has_computed_is_refused_with_what_became_of_it(load):
    message = (
        r'^epochs of the config ".*run.py" changes nothing: ".*digits_3grades.py" has made '
        r'model.curriculum.grades.epochs, train_cfg.max_epochs, param_scheduler.periods, '
        r'param_scheduler.restart_weights of "epochs" before; give the run another length by '
        r'--epochs N$'
    )
    with pytest.raises(ConfigurationError, match=message):
        load(run=f'_base_ = {DIGITS!r}\nepochs = [4, 4, 8]')


def test_a_variable_that_a_base_has_put_elsewhere_is_refused(load):
    message = (
        'curriculum .*edu-kd-experts_resnet14_resnet14_digits.py" has made model.curriculum of'
        '.*set model.curriculum'
    )
    with pytest.raises(ConfigurationError, match=message):
        load(run=f'_base_ = {DIGITS!r}\ncurriculum = dict(num_classes=9)')
    message = r'task_loss_weight.*set model.architecture.head.loss.loss_weight instead'
    with pytest.raises(ConfigurationError, match=message):
        load(
            run='_base_ = "base.py"\ntask_loss_weight = 0.5',
            base=f'_base_ = {str(CONFIGS / "_base_/experiments/kd.py")!r}\n',
        )


def test_it_is_found_in_a_file_between(load):
    with pytest.raises(ConfigurationError, match='epochs of the config ".*between.py"'):
        load(
            run='_base_ = "between.py"\nrandomness = dict(seed=1)',
            between=f'_base_ = {DIGITS!r}\nepochs = [4, 4, 8]',
        )


def test_a_variable_that_is_read_where_it_is_set_or_later_or_not_changed_is_none_of_them(load):
    cfg = load(
        run='_base_ = "between.py"\ntrain_cfg = dict(max_epochs=_base_.epochs[0] * 3)',
        between=f'_base_ = {DIGITS!r}\nepochs = [4, 4, 8]\n',
    )
    assert cfg.train_cfg.max_epochs == 12
    load(run=f'_base_ = {DIGITS!r}\nepochs = [5]\ntrain_cfg = dict(max_epochs=epochs[0])')
    load(run=f'_base_ = {DIGITS!r}\nepochs = [6, 6, 18]\nmine = 3\ntrain_cfg = dict(max_epochs=3)')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'epochs': [4, 4, 8]}, '--cfg-options epochs changes nothing: .*by --epochs N'),
        (
            {'student.backbone.depth': 34},
            'student.backbone.depth changes nothing: .*set model.architecture.student instead',
        ),
        ({'lr': 0.1}, '"lr" is for nothing in the config, which has no "lr"'),
        ({'optim_wraper.optimizer.lr': 0.1}, r'\(did you mean "optim_wrapper"\?\)'),
    ],
)
def test_an_option_that_nothing_reads_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        load_config(DIGITS, options)


def test_options_for_what_is_read_are_taken():
    options = {'epochs': [6, 6, 18], 'data_root': 'x', 'compile': False, 'work_dir': 'y'}
    assert load_config(DIGITS, options).cfg.work_dir == 'y'
