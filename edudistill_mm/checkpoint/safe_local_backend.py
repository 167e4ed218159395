import os
from pathlib import Path
from typing import ClassVar

from mmengine.fileio import LocalBackend, register_backend

from .atomic_write import atomic_write


@register_backend('safe_local', force=True)
class SafeLocalBackend(LocalBackend):
    """Local files of which at least one is whole, whenever the process or the machine stops.

    The backend writes a file under another name, flushes it to the disk and renames it in one step.
    It removes a file only after it has written the next one, because MMEngine's ``CheckpointHook``
    removes the last checkpoint before it writes the new one. Use the backend by
    ``CheckpointHook(backend_args=dict(backend='safe_local'))``; :class:`SafeCheckpointHook` does.
    """

    _outdated: ClassVar[set[str]] = set()

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file; then remove those that were to be removed.

        Args:
            obj (bytes): What to write.
            filepath (str | Path): Where to.

        Raises:
            OSError: The file cannot be written, for lack of space or rights. What was there
                before is still there.
        """
        path = os.path.abspath(filepath)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        atomic_write(path, lambda file: file.write(obj))
        outdated = self._outdated - {path}
        self._outdated.clear()
        for old in outdated:
            if os.path.exists(old):
                os.remove(old)

    def remove(self, filepath: str | Path) -> None:
        """Remove a file as soon as the next one has been written.

        Args:
            filepath (str | Path): The file.
        """
        self._outdated.add(os.path.abspath(filepath))
