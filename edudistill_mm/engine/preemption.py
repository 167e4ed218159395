import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch.utils.data import DataLoader

from ..errors import Preempted

SIGNALS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1') if hasattr(signal, name))
# Schedulers and launchers send a signal twice: to each process, and through its parent.
SAME_REQUEST = 10.0  # seconds


class Preemption:
    """Notes SIGTERM and SIGUSR1 while this process trains.

    Within a training loop, :class:`~edudistill_mm.engine.hooks.PreemptionHook` saves and ends the
    run. Outside of it there is nothing to save, and :class:`Preempted` is raised at once. A
    further signal more than ten seconds later acts as it would without this package.

    Attributes:
        heeding (bool): Whether signals are heeded.
        in_loop (bool): Whether a training loop is running.
        work_dir (str, optional): That of the last training that has begun.
    """

    def __init__(self) -> None:
        self.heeding = self.in_loop = False
        self.work_dir: str | None = None
        self._asked, self._asked_at = 0, 0.0
        self._before: dict[int, Any] = {}

    @contextlib.contextmanager
    def heeded(self) -> Iterator[None]:
        """Heed signals within the context, in the main thread only, as Python requires."""
        if self.heeding:
            yield
            return
        self.__init__()  # type: ignore[misc]  # it has no subclass
        self.heeding, self._pid = True, os.getpid()
        try:
            if threading.current_thread() is threading.main_thread():
                for number in SIGNALS:
                    self._before[number] = signal.signal(number, self._note)
            yield
        finally:
            self.heeding = self.in_loop = False
            # Keep a handler that other code has set meanwhile.
            for number, before in self._before.items():
                if signal.getsignal(number) == self._note:
                    signal.signal(number, before or signal.SIG_DFL)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self._asked and time.monotonic() - self._asked_at > SAME_REQUEST
        if again or os.getpid() != self._pid:
            # A forked process inherits the handlers, but is not the run.
            signal.signal(number, self._before[number] or signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self._asked:
            self._asked, self._asked_at = number, time.monotonic()
            if not self.in_loop:
                raise self.stop(number, 'outside of the training loop, nothing had to be saved')

    def asked(self) -> int:
        """The signal that any rank has received, 0 for none. All ranks must call it."""
        if not self.heeding or get_world_size() == 1:
            return self._asked
        asked = torch.tensor(self._asked)
        all_reduce(asked, 'max')
        return int(asked)

    def stop(self, number: int, how: str) -> Preempted:
        """The exception that ends the run; ``how``, the end of a sentence, says what was saved."""
        return Preempted(f'by {signal.Signals(number).name}: {how}', self.work_dir)


preemption = Preemption()


def shield_workers(loader: DataLoader) -> None:
    """Let a loader's future workers outlive the signals that a scheduler sends to all processes.

    Without workers, the step under way could not be finished.
    """
    if loader.num_workers and hasattr(signal, 'sigwaitinfo'):
        loader.worker_init_fn = functools.partial(_shielded, loader.worker_init_fn)


def _shielded(init: Callable[[int], None] | None, worker: int) -> None:
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def wait() -> None:
        # A run that ends by an error ends its workers by SIGTERM.
        while signal.sigwaitinfo(SIGNALS).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    if init is not None:
        init(worker)
