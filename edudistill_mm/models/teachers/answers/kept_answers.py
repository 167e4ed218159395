import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from edudistill_mm.errors import ConfigurationError

from .answer_table import AnswerTable, ForeignTable

# By how much of the largest score the same network may differ on another machine, in bfloat16.
TOLERANCE = 0.05


class KeptAnswers:
    """The class scores of a teacher, for which its network is asked once.

    What is asked is kept in a table; what is answered is always the table's value, also the first
    time, so that a run that was resumed gets the same. One answer is compared with the network's
    at the beginning, or kept then.

    Args:
        table (AnswerTable): The table.
        ask (Callable): The network: class scores [n, C] of preprocessed images [n, C', H, W].
        show (Callable): Preprocessed images of views, given by indices and views, int64 [n].
        images (np.ndarray): The images of which the teacher is asked, int64, at least one.
        key (str): Where ``keep_answers`` stands in the config, for error messages.

    Raises:
        ForeignTable: The answer in the table is another network's.
    """

    def __init__(
        self,
        table: AnswerTable,
        ask: Callable[[Tensor], Tensor],
        show: Callable[[Tensor, Tensor], Tensor],
        images: np.ndarray,
        key: str = 'keep_answers',
    ) -> None:
        self.table, self.key = table, key
        self._ask, self._show, self._images = ask, show, images
        # On the device: all rows, and which are filled; None if the file alone has them.
        self._rows: Tensor | None = None
        self._filled: Tensor | None = None
        self._complete = False
        self._recognise()

    def _recognise(self) -> None:
        entries = self._images[:1] * self.table.num_views
        (there,), (filled,) = self.table.read(entries)
        (now,) = self._asked(entries)
        if not filled:
            self.table.write(entries, now[None])
        elif not np.abs(there - now).max() <= TOLERANCE * np.abs(now).max():
            raise ForeignTable(self.table.path, 'the first is not what the teacher says')

    @torch.no_grad()
    def look_up(self, inputs: Callable[[], Tensor], indices: Tensor, views: Tensor) -> Tensor:
        """Class scores of images, float32 [n, C], without gradients.

        Args:
            inputs (Callable): The preprocessed images [n, C', H, W]; called if one is not kept.
            indices (Tensor): Their numbers in the data set, int64 [n].
            views (Tensor): Their views, int64 [n].
        """
        entries = indices * self.table.num_views + views
        if self._rows is None or self._filled is None:
            return self._from_file(inputs, entries).float()
        if not self._complete:
            missing = (~self._filled[entries]).nonzero().flatten()
            if len(missing):
                new = entries[missing]
                self._rows[new] = self._from_file(lambda: inputs()[missing], new)
                self._filled[new] = True
                self._complete = self._all_filled()
        return self._rows[entries].float()

    def copy_to(self, device: torch.device) -> None:
        """Keep a copy of the table on a device, if it takes at most a third of what is free."""
        if device.type == 'cuda':
            free = torch.cuda.mem_get_info(device)[0]
            if self.table.size > free / 3:
                print_log(
                    f'Kept answers of {self.table.size / 1e9:.2f} GB are read from the file: of '
                    f'the {free / 1e9:.2f} GB that are free on the device they may take a third',
                    logger='current',
                    level=logging.WARNING,
                )
                return
        rows, filled = self.table.snapshot()
        self._filled = torch.from_numpy(filled).to(device)
        self._rows = torch.from_numpy(rows).to(device, copy=True)
        self._complete = self._all_filled()

    def missing(self) -> np.ndarray:
        """Entries that have not been answered yet, of the images of which the teacher is asked."""
        place, view = np.nonzero(~self.table.filled(self._images))
        return self._images[place] * self.table.num_views + view

    @property
    def wanted(self) -> int:
        """int: Number of the answers of the images of which the teacher is asked."""
        return len(self._images) * self.table.num_views

    def fill(self, batch_size: int) -> Iterator[int]:
        """Ask all that is missing; yields the size of each batch."""
        missing = self.missing()
        for start in range(0, len(missing), batch_size):
            entries = missing[start : start + batch_size]
            # Another process may have filled some of them meanwhile.
            new = entries[~self.table.read(entries)[1]]
            if len(new):
                self.table.write(new, self._asked(new))
            yield len(entries)

    def _all_filled(self) -> bool:
        assert self._filled is not None
        views = self._filled.view(-1, self.table.num_views)
        return bool(views[torch.from_numpy(self._images).to(views.device)].all())

    def _from_file(self, inputs: Callable[[], Tensor], entries: Tensor) -> Tensor:
        """Rows of the file, on the device of the entries; the network is asked for missing ones."""
        wanted = entries.cpu().numpy()
        rows, filled = self.table.read(wanted)
        if not filled.all():
            gaps = np.flatnonzero(~filled)
            # An image may be twice in a batch.
            gaps = gaps[np.sort(np.unique(wanted[gaps], return_index=True)[1])]
            images = inputs()
            scores = self._ask(images[torch.from_numpy(gaps).to(images.device)])
            self.table.write(wanted[gaps], self._rounded(scores))
            rows, _ = self.table.read(wanted)
        return torch.from_numpy(rows).to(entries.device)

    @torch.no_grad()
    def _asked(self, entries: np.ndarray) -> np.ndarray:
        indices, views = map(torch.from_numpy, np.divmod(entries, self.table.num_views))
        return self._rounded(self._ask(self._show(indices, views)))

    def _rounded(self, scores: Tensor) -> np.ndarray:
        given = scores.float().cpu().numpy()
        with np.errstate(over='ignore'):
            rows = given.astype(self.table.dtype)
        if np.isinf(rows).any() and np.isfinite(given).all():
            raise ConfigurationError(
                f'{self.key} keeps scores in float16, which end at 65504, but a teacher gives '
                f'{np.abs(given).max():.6g}; set {self.key}=dict(dtype="float32")'
            )
        return rows
