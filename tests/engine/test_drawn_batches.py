import pytest

from edudistill_mm.engine.drawn_batches import DrawnBatches


@pytest.mark.parametrize('way', ['next', 'skip_iter'])
def test_batches_are_passed_over_as_either_mmengine_does(way):
    source = iter(range(10))
    batches = DrawnBatches(3, source)
    if way == 'next':  # OpenMMLab's
        for _ in range(5):
            next(batches)
    else:  # OneDL's
        batches.skip_iter(5)
    # Of five batches, three were not loaded.
    assert next(batches) == 2
    assert list(batches)[-1] == 9
