import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Statistic:
    """Mean and standard deviation (of the sample, n - 1; None for a single value) over seeds."""

    mean: float
    std: float | None
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Optional['Statistic']:
        """Summarise the values that are not None; None if there are none."""
        given = [value for value in values if value is not None]
        if not given:
            return None
        std = statistics.stdev(given) if len(given) > 1 else None
        return cls(statistics.fmean(given), std, len(given))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the mean (Student's t); None for a single value."""
        if self.std is None:
            return None
        # It takes half a second to import, which only a report should wait for.
        from scipy.stats import t

        half = float(t.ppf(0.975, self.count - 1)) * self.std / math.sqrt(self.count)
        return self.mean - half, self.mean + half

    def __str__(self) -> str:
        return f'{self.mean:.2f}' if self.std is None else f'{self.mean:.2f} ± {self.std:.2f}'
