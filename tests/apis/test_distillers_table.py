from pathlib import Path

import pytest

from edudistill_mm.apis.distillers_table import check_distiller, shipped_configs

PAGE = Path(__file__).parents[2] / 'docs' / 'distillers.md'


def test_all_of_mmrazors_configs_are_examined():
    assert len(shipped_configs()) == 19


@pytest.mark.parametrize('name', shipped_configs())
def test_a_config_of_mmrazor_goes_to_school_as_the_page_says(name, tmp_path):
    if name.startswith('deit'):
        pytest.importorskip('timm')
    row = check_distiller(name, str(tmp_path))
    assert row.markdown() in PAGE.read_text().splitlines()
    if name.startswith(('dafl', 'dfad', 'zskt')):
        assert 'data-free' in row.reason and not row.ran
    else:
        assert row.ran and row.identical
        # Each loss of the config wakes up in the end, and none falls asleep again.
        assert set(row.awake[0]) <= set(row.awake[1]) and row.awake[1]
