import pytest

from edudistill_mm.comparison.plan import Plan
from edudistill_mm.errors import ConfigurationError


@pytest.fixture
def plan(tmp_path):
    def read(text, suffix='py', **options):
        file = tmp_path / f'study.{suffix}'
        file.write_text(text)
        return Plan.from_file(str(file), options)

    return read


def test_values_of_the_plan_give_way_to_those_of_a_row_and_both_to_the_command_line(plan):
    made = plan(
        """rows = [dict(name='A', config='a.py', cfg_options=dict(
    optim_wrapper=dict(optimizer=dict(lr=0.1))))]
cfg_options = {'optim_wrapper.optimizer.lr': 0.2, 'train_cfg.max_epochs': 5, 'data_root': 'here'}
""",
        data_root='there',
    )
    assert made.rows[0].options == {
        'optim_wrapper.optimizer.lr': 0.1,
        'train_cfg.max_epochs': 5,
        'data_root': 'there',
    }


def test_a_yaml_file_is_a_plan_too(plan, tmp_path):
    made = plan(
        """
rows:
  - {name: KD (T = 4), config: /configs/kd.py, budget: {image_passes: 1000}}
  - {name: student, config: sub/student.py}
seeds: [0, 7]
""",
        'yaml',
    )
    assert made.seeds == (0, 7)
    assert made.work_dir == 'work_dirs/compare_study'
    first, second = made.rows
    assert (first.config, first.slug, first.budget) == (
        '/configs/kd.py',
        'kd_t_4',
        dict(image_passes=1000),
    )
    # As seen from the folder where the user is.
    assert second.config.endswith(f'{tmp_path.name}/sub/student.py') and second.budget is None


def test_the_budget_of_the_plan_is_that_of_all_rows_that_give_none(plan):
    made = plan(
        """_same = 'configs/a.py'
rows = [dict(name='A', config=_same), dict(name='B', config=_same, budget=None),
        dict(name='C', config=_same, budget=dict(image_passes=5))]
budget = dict(student_flops='A')
"""
    )
    assert [row.budget for row in made.rows] == [
        dict(student_flops='A'),
        None,
        dict(image_passes=5),
    ]


def test_a_row_may_be_trained_with_some_of_the_seeds(plan):
    rows = "rows = [dict(name='A', config='a.py'), dict(name='B', config='b.py', seeds=[2])]"
    assert [row.seeds for row in plan(f'{rows}\nseeds = [1, 2]').rows] == [(1, 2), (2,)]


def test_the_first_row_is_the_baseline_unless_the_plan_names_others(plan):
    rows = "rows = [dict(name='A', config='a.py'), dict(name='B', config='b.py')]"
    assert plan(rows).baselines == ('A',)
    assert plan(f"{rows}\nbaselines = ['B', 'A']").baselines == ('B', 'A')


ROW = "dict(name='A', config='a.py')"


@pytest.mark.parametrize(
    'text, sentence',
    [
        ('rows = []', 'at least one dict'),
        (f'rows = [{ROW}]\nseed = [1]', 'unknown key "seed" (did you mean "seeds"?)'),
        (
            f'rows = [{ROW}]\nseeds = [1, 1]',
            'seeds of the plan must be a list of different integers',
        ),
        (
            "rows = [dict(name='A', config='a.py', seeds=[2])]",
            'rows[0].seeds must be some of the seeds of the plan, [0], not [2]',
        ),
        ("rows = [dict(name='A')]", 'rows[0].config must be a string, not None'),
        (f'rows = [{ROW}, {ROW}]', 'is that of the row "A"'),
        ("rows = [dict(name='?', config='a.py')]", 'must hold a letter or a digit'),
        (f"rows = [{ROW}]\nbudget = dict(student_flop='A')", 'did you mean "student_flops"?'),
        (f"rows = [{ROW}]\nbudget = dict(student_flops='a')", 'names the row "a"'),
        (
            f'rows = [{ROW}]\nbudget = dict(image_passes=-1)',
            'positive number or the name of a row',
        ),
        (
            f'rows = [{ROW}]\nbudget = dict()',
            'must give one of student_flops, total_flops, image_passes',
        ),
        (f"rows = [{ROW}]\nbaselines = ['a']", 'baselines names the row "a"'),
        (f"rows = [{ROW}]\nbaselines = ['A', 'A']", 'baselines names the row "A" twice'),
        (f"rows = [{ROW}]\nbaselines = 'A'", "must be a list of names of rows, not 'A'"),
        ('rows = nothing', "name 'nothing' is not defined"),
    ],
)
def test_a_mistake_in_a_plan_is_one_sentence(plan, text, sentence):
    with pytest.raises(ConfigurationError) as error:
        plan(text)
    assert sentence in str(error.value) and '\n' not in str(error.value)
