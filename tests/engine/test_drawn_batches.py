import itertools
from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.datasets import GradeSampler
from edudistill_mm.engine.drawn_batches import DrawnBatches
from edudistill_mm.engine.grade_data import draw_from_here


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


class Numbers(list):
    """A data set of samples with labels, which are their numbers."""

    def get_data_info(self, index):
        return dict(gt_label=self[index])


@pytest.mark.parametrize('fast_forward', [False, True])
def test_a_resumed_loop_goes_on_with_the_batch_that_is_next(fast_forward):
    grades = [dict(iters=4, classes=3), dict(iters=4, classes=3)]
    curriculum = Curriculum.from_cfg(dict(num_classes=6, grades=grades))

    def loop_at(number):
        numbers = Numbers(range(6))
        sampler = GradeSampler(numbers, seed=0)
        sampler.attach(curriculum, {}, 2)
        loader = DataLoader(numbers, batch_size=2, sampler=sampler, collate_fn=list)
        # OneDL's loop passes over nothing if it is told so; OpenMMLab's has no such option.
        loop = SimpleNamespace(dataloader=loader, iter=number, fast_forward_on_resume=fast_forward)
        draw_from_here(loop, begun=False)
        return loop.dataloader_iterator

    whole = list(itertools.islice(loop_at(0), 8))
    resumed = loop_at(3)
    if not fast_forward:
        assert [next(resumed) for _ in range(3)] == [None] * 3
    assert list(itertools.islice(resumed, 5)) == whole[3:]
