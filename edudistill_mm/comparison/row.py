import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError

from .options import as_arguments


@dataclass(frozen=True)
class Row:
    """One line of a comparison: a config file, and values by dotted key that override the file's.

    ``budget`` gives for one of ``student_flops``, ``total_flops`` (three times the student's, and
    those of teachers that run, so not of kept answers), ``image_passes`` and ``epochs`` the amount
    of it for the training, or the name of the row whose amount it is. ``seeds`` are those that the
    row is trained with.
    """

    name: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] | None = None
    seeds: tuple[int, ...] = (0,)

    @property
    def slug(self) -> str:
        """The name as the name of a folder."""
        return re.sub(r'\W+', '_', self.name).strip('_').lower()

    def load(
        self, options: dict[str, Any] | None = None, work_dir: str | None = None
    ) -> RunConfig:
        """Read the config with more options, over the row's own; an error names the row."""
        try:
            # Each run is a command with these options.
            as_arguments(self.options)
            return load_config(self.config, {**self.options, **(options or {})}, work_dir)
        except ConfigurationError as error:
            raise ConfigurationError(f'row "{self.name}": {error}') from error
