"""The figure of docs/results.md, which a developers' tool draws from its tables."""

import pytest
from results_figure import COMMAND, FIGURE, RESULTS, drawn_values, read_points, values

from edudistill_mm.errors import ConfigurationError

PAGE = """
    python tools/compare.py configs/compare/cifar100_short.py

| row | epochs | last epoch | student FLOPs | total FLOPs |
|---|---|---|---|---|
| DKD, stable | 12 | 63.23 ± 0.22 | 49.0 T | 147 T |
| **blocks and sizes** | 8+6+7 | **64.94 ± 0.02** | 46.5 T | 139 T |
| blocks and sizes, 60 % | 5+4+4 | 61.65 ± 0.14 | 28.0 T | 84 T |

| setting | row | last epoch | student FLOPs | total FLOPs |
|---|---|---|---|---|
| short, `small_confirm` | DKD, standardized, stable | 62.12 ± 1.07 | 2.20 T | 6.61 T |
| | DKD, stable | 63.28 ± 0.72 | 2.20 T | 6.61 T |
| longer, `small_confirm_long` | DKD, stable | 69.32 ± 0.58 | 8.82 T | 26.5 T |

| row | last epoch | student FLOPs |
|---|---|---|
| chosen among others, without a total | 1.00 ± 1.00 | 1.00 T |
"""


def test_the_figure_shows_what_stands_in_the_tables():
    assert drawn_values(FIGURE.read_text()) == values(read_points(RESULTS.read_text())), COMMAND


def test_rows_are_read_with_their_setting():
    assert read_points(PAGE) == {
        'CIFAR-100, ResNet-20, short': {
            'DKD, stable': [(49.0, 63.23, 0.22)],
            'blocks and sizes': [(28.0, 61.65, 0.14), (46.5, 64.94, 0.02)],
        },
        '20 classes, ResNet-20': {
            'DKD, standardized': [(2.2, 62.12, 1.07)],
            'DKD, stable': [(2.2, 63.28, 0.72), (8.82, 69.32, 0.58)],
        },
    }


@pytest.mark.parametrize('old, new', [('small_confirm`', 'another`'), ('blocks and', 'leaps and')])
def test_a_row_that_has_no_place_in_the_figure_is_named(old, new):
    with pytest.raises(ConfigurationError, match='of results.md belongs to no (panel|series)'):
        read_points(PAGE.replace(old, new))
