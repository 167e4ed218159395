"""Reports of figures that are given here."""

import json
from pathlib import Path

import pytest
from report_rows import row

from edudistill_mm.comparison.write import write_report


@pytest.fixture
def report(tmp_path):
    def write(rows, baselines):
        path = Path(write_report(rows, str(tmp_path), 'A study', baselines=baselines))
        return path.read_text(), json.loads(path.with_suffix('.json').read_text())['rows']

    return write


def cells(text, heading):
    """Rows of the table that begins with a heading, by their first cell."""
    lines = text[text.index(f'| {heading}') :].split('\n\n')[0].splitlines()
    table = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines]
    return {line[0]: line[1:] for line in table}


def test_differences_are_of_the_same_seeds(report):
    # Without the pairs the difference of 2 would drown in a deviation of 10.
    kd = row('KD', s0=50, s1=60, s2=70)
    edu = row('edu', s0=51, s1=62, s2=73, s3=99)
    text, rows = report([kd, edu], ['KD'])
    table = cells(text, 'difference to')
    # 2 ± 4.303 / sqrt(3)
    assert table['edu'] == ['+2.00 (-0.48 to +4.48), 3 common seeds']
    assert table['KD'] == ['-']
    difference = rows[1]['differences']['KD']
    assert (difference['mean'], difference['std'], difference['count']) == (2, 1, 3)
    assert rows[0]['differences'] == {}


def test_one_seed_gives_a_difference_without_an_interval(report):
    text, _ = report([row('KD', s0=50), row('edu', s0=49.5), row('other', s1=60)], ['KD', 'edu'])
    table = cells(text, 'difference to')
    assert table['difference to'] == ['KD', 'edu']
    assert table['KD'] == ['-', '+0.50']
    assert table['edu'] == ['-0.50', '-']
    assert table['other'] == ['-', '-']


def test_a_report_of_one_row_has_no_differences(report):
    text, _ = report([row('KD', s0=50)], ['KD'])
    assert 'difference' not in text.lower()
