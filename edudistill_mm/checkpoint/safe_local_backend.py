import os
from pathlib import Path
from typing import ClassVar

from mmengine.fileio import LocalBackend, register_backend

from .atomic_write import atomic_write


@register_backend('safe_local', force=True)
class SafeLocalBackend(LocalBackend):
    """A local file backend that leaves a whole file, whenever the process or the machine stops.

    A file is written under another name, flushed to the disk and renamed in one step. A file is
    removed only after the next one has been written, because MMEngine's ``CheckpointHook`` removes
    the last checkpoint first. Set it by
    ``CheckpointHook(backend_args=dict(backend='safe_local'))``; :class:`SafeCheckpointHook` does.
    """

    _outdated: ClassVar[set[str]] = set()

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file, then remove those that are due; an OSError leaves the old file."""
        path = os.path.abspath(filepath)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        atomic_write(path, lambda file: file.write(obj))
        outdated = self._outdated - {path}
        self._outdated.clear()
        for old in outdated:
            if os.path.exists(old):
                os.remove(old)

    def remove(self, filepath: str | Path) -> None:
        """Remove a file as soon as the next one has been written."""
        self._outdated.add(os.path.abspath(filepath))
