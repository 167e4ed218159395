from pathlib import Path

import pytest
from literature_table import (
    INTRODUCTION,
    PUBLISHED,
    count_parameters,
    literature_row,
)

from edudistill_mm.apis.convert_mdistiller import NETWORKS

PAGE = Path(__file__).parents[2] / 'docs' / 'students.md'


def test_each_network_that_can_be_converted_is_in_the_table():
    assert set(PUBLISHED) == set(NETWORKS)


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_network_has_the_published_number_of_parameters(name):
    assert count_parameters(name) == PUBLISHED[name]


def test_the_page_shows_both_numbers_of_each_network():
    section = '\n'.join(map(literature_row, PUBLISHED))
    assert PAGE.read_text().endswith(f'{INTRODUCTION}{section}\n')
