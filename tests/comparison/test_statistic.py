import pytest

from edudistill_mm.comparison.statistic import Statistic


def test_mean_and_deviation_of_the_sample():
    statistic = Statistic.of([1, None, 2, 3, 6])
    assert (statistic.mean, statistic.count) == (3, 4)
    assert statistic.std == pytest.approx((14 / 3) ** 0.5)
    assert str(statistic) == '3.00 ± 2.16'
    assert Statistic.of([None]) is None


def test_the_interval_is_students():
    # Table of Student's t: 4.303 for two degrees of freedom, 2.776 for four; 95 %, two-sided.
    low, high = Statistic.of([1, 2, 3]).interval
    assert (low + high) / 2 == pytest.approx(2)
    assert (high - low) / 2 == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    low, high = Statistic.of([2, 4, 6, 8, 10]).interval
    assert (high - low) / 2 == pytest.approx(2.776 * 10**0.5 / 5**0.5, rel=1e-3)


def test_equal_values_have_an_interval_of_nothing_and_a_single_one_has_none():
    assert Statistic.of([5, 5, 5]).interval == (5, 5)
    assert Statistic.of([5]).interval is None
