import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner


class RestOfEpoch:
    """Wraps a sampler, and leaves out the first ``seen`` samples of its first pass."""

    def __init__(self, sampler: Any, seen: int) -> None:
        self.sampler, self.seen = sampler, seen

    def __iter__(self) -> Iterator:
        seen, self.seen = self.seen, 0
        return itertools.islice(iter(self.sampler), seen, None)

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)


def leave_out_seen(runner: Runner) -> None:
    """Let a run without curriculum, resumed in the middle of an epoch, go on there.

    MMEngine would start the epoch anew, and iterations and schedules would run beyond their ends.
    """
    loop = runner.train_loop
    sampler = getattr(loop.dataloader.batch_sampler, 'sampler', None)
    if not isinstance(loop, EpochBasedTrainLoop) or sampler is None:
        return
    batches = loop.iter - loop.epoch * len(loop.dataloader)
    if 0 < batches <= len(loop.dataloader):
        batch_sampler = loop.dataloader.batch_sampler
        batch_sampler.sampler = RestOfEpoch(sampler, batches * batch_sampler.batch_size)
        runner.logger.info(f'Epoch {loop.epoch + 1} goes on after its first {batches} batches.')
