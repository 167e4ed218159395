from pathlib import Path

import pytest

from edudistill_mm.comparison.plan import Plan
from edudistill_mm.comparison.prepared_row import prepare_rows
from edudistill_mm.datasets import Digits
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.registry import DATASETS, register

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
KD = str(CONFIGS / 'digits/kd_resnet14x2_resnet14_digits.py')
ALONE = str(CONFIGS / 'digits/student_resnet14_digits.py')
EDU = str(CONFIGS / 'edu_kd_digits.py')


@register(DATASETS)
class ListedDigits(Digits):
    """Lists in a file how often it has been read."""

    def __init__(self, kept=None, **kwargs):
        self.kept = kept
        super().__init__(**kwargs)

    def load_data_list(self):
        with open('read.txt', 'a') as file:
            print(self.split, self.kept, file=file)
        return super().load_data_list()[: self.kept]


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Prepares rows, given as name=(config, budget) or name=(config, budget, options)."""
    monkeypatch.chdir(tmp_path)

    def prepare(**rows):
        text = [
            dict(name=name, config=config, budget=budget, cfg_options=dict(*options))
            for name, (config, budget, *options) in rows.items()
        ]
        Path('plan.py').write_text(f'rows = {text!r}')
        return {made.row.name: made for made in prepare_rows(Plan.from_file('plan.py'))}

    return prepare


def test_a_budget_of_epochs_keeps_the_proportion_of_the_grades(prepared):
    # 6 + 6 + 18 of 30 epochs.
    made = prepared(edu=(EDU, dict(epochs=15)), kd=(KD, dict(epochs=12)))
    assert made['edu'].lengths == [3, 3, 9]
    assert made['edu'].run.cfg.param_scheduler.periods == [3, 3, 9]
    assert made['kd'].run.cfg.train_cfg.max_epochs == 12
    assert made['kd'].run.cfg.model.curriculum.grades[0].epochs == 12
    # Its file has no curriculum that an option could change.
    assert list(made['kd'].options) == ['train_cfg.max_epochs', 'param_scheduler.T_max']


def test_the_cost_of_a_row_is_that_by_its_own_budget(prepared):
    made = prepared(
        edu=(EDU, dict(student_flops='kd')),
        kd=(KD, dict(epochs='short')),
        short=(EDU, dict(epochs=10)),
    )
    assert made['short'].lengths == [2, 2, 6]
    assert made['kd'].lengths == [10]
    edu, kd = made['edu'], made['kd']
    dearest = edu.cost.stages[-1].student_flops
    assert abs(edu.cost.student_flops(edu.lengths) - kd.cost.student_flops([10])) <= dearest / 2


def test_teachers_that_run_are_paid_by_a_budget_of_total_flops_and_kept_answers_are_not(prepared):
    kept = {'model.keep_answers': True}
    made = prepared(
        kd=(KD, dict(epochs=6)),
        kept=(KD, dict(total_flops='kd'), kept),
        alone=(ALONE, dict(total_flops='kept')),
    )
    student, teacher = (
        made['kd'].cost.stages[0].student_flops,
        made['kd'].cost.stages[0].teacher_flops,
    )
    assert made['kept'].lengths == [round(6 * (3 * student + teacher) / (3 * student))]
    assert made['kept'].cost.teacher_flops() == 0
    assert made['alone'].lengths == made['kept'].lengths


def test_a_row_that_all_are_measured_by_keeps_its_length(prepared):
    made = prepared(kd=(KD, dict(epochs='kd')), edu=(EDU, dict(epochs='kd')))
    assert [made[name].length for name in ('kd', 'edu')] == [30, 30]


def test_rows_that_are_measured_by_each_other_are_refused(prepared):
    with pytest.raises(ConfigurationError, match='row "b".*that of "a", whose own depends on it'):
        prepared(a=(KD, dict(epochs='b')), b=(EDU, dict(image_passes='a')))


def test_iterations_are_not_measured_in_epochs(prepared):
    # A config of MMEngine's loop that counts iterations.
    Path('iterations.py').write_text(
        f'_base_ = {KD!r}\n'
        'train_cfg = dict(_delete_=True, by_epoch=False, max_iters=40)\n'
        'param_scheduler = dict(_delete_=True, type="ConstantLR", by_epoch=False)\n'
    )
    with pytest.raises(
        ConfigurationError, match='counts iterations.*student_flops or total_flops or image_passes'
    ):
        prepared(kd=('iterations.py', dict(epochs=5)))
    assert prepared(kd=('iterations.py', dict(image_passes=640)))['kd'].lengths == [20]
    with pytest.raises(ConfigurationError, match='row "edu": its budget is the epochs of "kd"'):
        prepared(kd=('iterations.py', None), edu=(EDU, dict(epochs='kd')))


def test_a_budget_that_leaves_a_schedule_no_time_is_refused_with_its_row(prepared):
    Path('part.py').write_text(
        f'_base_ = {KD!r}\nparam_scheduler = dict(_delete_=True, type="ConstantLR", begin=3, end=8)\n'
    )
    with pytest.raises(ConfigurationError, match=r'^row "kd": param_scheduler \(ConstantLR\)'):
        prepared(kd=('part.py', dict(epochs=1)))


def test_rows_with_the_same_training_data_read_them_once(prepared):
    Path('listed.py').write_text(
        f'_base_ = {KD!r}\ntrain_dataloader = dict(dataset=dict(type="ListedDigits"))\n'
    )
    few = {'train_dataloader.dataset.kept': 100}
    made = prepared(
        kd=('listed.py', dict(epochs=5)),
        long=('listed.py', dict(epochs=7)),
        few=('listed.py', dict(epochs=5), few),
        again=('listed.py', dict(epochs=5)),
    )
    assert Path('read.txt').read_text().splitlines() == ['train None', 'train 100', 'train None']
    assert [made[name].cost.stages[0].images for name in made] == [1442, 1442, 100, 1442]


def test_a_value_that_no_command_can_give_is_refused_with_its_row(prepared):
    grades = [dict(epochs=10, fragments=1, classes=4), dict(epochs=20, fragments=3, classes=6)]
    with pytest.raises(ConfigurationError, match='row "edu": cfg_options .*file of its own'):
        prepared(edu=(EDU, dict(epochs=15), {'model.curriculum.grades': grades}))
