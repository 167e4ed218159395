from dataclasses import dataclass
from typing import Any

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.validation.values import check_choice, check_keys

DTYPES = ('float16', 'float32')


@dataclass(frozen=True)
class Keeping:
    """How a teacher's answers are kept.

    Args:
        dtype (str): Type of a kept score, 'float16' or 'float32'. Defaults to 'float16'.
        folder (str, optional): Folder of the tables. Defaults to None: ``answers`` beside the
            run's work dir, where runs that lie side by side share them.
    """

    dtype: str = 'float16'
    folder: str | None = None

    @classmethod
    def from_cfg(cls, given: Any, key: str) -> 'Keeping | None':
        """Read ``keep_answers`` of a config, which stands at ``key``; None: nothing is kept."""
        if isinstance(given, bool):
            return cls() if given else None
        if not isinstance(given, dict):
            raise ConfigurationError(
                f'{key} must be True, False or a dict with the keys dtype, folder, but got {given!r}'
            )
        check_keys(given, ('dtype', 'folder'), key)
        keeping = cls(**given)
        check_choice(keeping.dtype, DTYPES, f'{key}.dtype')
        if keeping.folder is not None and not (isinstance(keeping.folder, str) and keeping.folder):
            raise ConfigurationError(f'{key}.folder must be a path, but got {keeping.folder!r}')
        return keeping
