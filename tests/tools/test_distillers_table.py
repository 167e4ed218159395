from pathlib import Path

import pytest
from distillers_table import INTRODUCTION, check_distiller, shipped_configs

PAGE = Path(__file__).parents[2] / 'docs' / 'distillers.md'

# Networks of 86 and 84 million parameters take two minutes: here by their smallest siblings.
SMALL_DEIT = {
    'model.architecture.backbone.arch': 'deit-tiny',
    'model.architecture.head.in_channels': 192,
    'model.teacher.backbone.model_name': 'regnety_002',
    'model.teacher.head.in_channels': 368,
}


def test_all_of_mmrazors_configs_are_examined():
    assert len(shipped_configs()) == 19


def test_the_page_begins_with_the_introduction_of_its_tool():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith('| `')]
    refused = sum('data-free' in row for row in rows)
    ran = len(rows) - refused
    assert PAGE.read_text().startswith(INTRODUCTION.format(total=19, ran=ran, refused=refused))


@pytest.mark.slow
@pytest.mark.parametrize('name', shipped_configs())
def test_a_config_of_mmrazor_goes_to_school_as_the_page_says(name, tmp_path):
    if name.startswith('deit'):
        pytest.importorskip('timm')
    row = check_distiller(name, str(tmp_path), SMALL_DEIT if name.startswith('deit') else None)
    assert row.markdown() in PAGE.read_text().splitlines()
    if name.startswith(('dafl', 'dfad', 'zskt')):
        assert 'data-free' in row.reason and not row.ran
    else:
        assert row.ran and row.identical
        # Each loss of the config wakes up in the end, and none falls asleep again.
        assert set(row.awake[0]) <= set(row.awake[1]) and row.awake[1]
