import os.path as osp
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from edudistill_mm.compat import usual_recursion_limit
from edudistill_mm.errors import ConfigurationError, did_you_mean, reason_of
from edudistill_mm.validation.values import check_keys

from .options import flatten
from .row import Row

MEASURES = dict(
    student_flops='student FLOPs',
    total_flops='total FLOPs',
    image_passes='image passes',
    epochs='epochs',
)
PLAN_KEYS = ('title', 'rows', 'seeds', 'work_dir', 'cfg_options', 'budget', 'baselines')
ROW_KEYS = ('name', 'config', 'cfg_options', 'budget', 'seeds')


@dataclass(frozen=True)
class Plan:
    """What to compare: rows, each of which is trained once with each of its seeds.

    ``baselines`` are names of the rows that the others are compared with.
    """

    file: str
    title: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    work_dir: str
    baselines: tuple[str, ...]

    @classmethod
    def from_file(cls, path: str, options: Mapping[str, Any] | None = None) -> 'Plan':
        """Read a plan.

        Args:
            path (str): A Python, YAML or JSON file that MMEngine's ``Config`` reads, with

                - ``rows``: a list of dicts with ``name``, ``config`` (a file, relative to the
                  plan's folder), and optionally ``cfg_options``, ``budget`` and ``seeds`` (some
                  of the plan's, default all of them);
                - ``seeds``: a list of integers, default ``[0]``;
                - ``work_dir``: default ``work_dirs/compare_<name of the file>``;
                - ``cfg_options``: a dict that overrides values of all rows' configs;
                - ``budget``: that of all rows that give none, see :class:`Row`; None for a
                  config's own epochs;
                - ``baselines``: names of the rows to which the report gives the difference of the
                  others, default that of the first row; an empty list for none;
                - ``title``: default the name of the file.

                Other names are ignored if they begin with an underscore.
            options (Mapping[str, Any], optional): Values by dotted key over those of the plan and
                its rows.

        Raises:
            ConfigurationError: If it cannot be read or something in it is not as described.
        """
        try:
            with usual_recursion_limit():
                content = Config.fromfile(path).to_dict()
        except Exception as error:
            # A plan may be Python code, which can raise anything.
            raise ConfigurationError(
                f'the plan "{path}" cannot be read: {reason_of(error)}'
            ) from error
        content = {key: value for key, value in content.items() if not key.startswith('_')}
        check_keys(content, PLAN_KEYS, 'the plan')
        name = osp.splitext(osp.basename(path))[0]
        rows = content.get('rows')
        if not isinstance(rows, list) or not rows:
            raise ConfigurationError(
                f'rows of the plan must be a list of at least one dict, not {rows!r}'
            )
        common = _options('cfg_options', content.get('cfg_options'))
        seeds = _seeds('seeds of the plan', content.get('seeds', [0]))
        made = _rows(
            rows, osp.dirname(path), common, dict(options or {}), content.get('budget'), seeds
        )
        return cls(
            file=path,
            title=str(content.get('title', name)),
            rows=made,
            baselines=_baselines(content.get('baselines'), [row.name for row in made]),
            seeds=seeds,
            work_dir=content.get('work_dir', osp.join('work_dirs', f'compare_{name}')),
        )

    def row(self, name: str) -> Row:
        """The row of a name."""
        return next(row for row in self.rows if row.name == name)


def _rows(
    rows: list,
    folder: str,
    common: dict,
    options: dict,
    budget: dict | None,
    seeds: tuple[int, ...],
) -> tuple[Row, ...]:
    made: list[Row] = []
    for index, given in enumerate(rows):
        key = f'rows[{index}]'
        check_keys(given, ROW_KEYS, key)
        for required in ('name', 'config'):
            if not isinstance(given.get(required), str):
                raise ConfigurationError(
                    f'{key}.{required} must be a string, not {given.get(required)!r}'
                )
        own = _options(f'{key}.cfg_options', given.get('cfg_options'))
        row = Row(
            name=given['name'],
            config=osp.relpath(osp.join(folder, given['config']))
            if not osp.isabs(given['config'])
            else given['config'],
            options={**common, **own, **options},
            budget=given.get('budget', budget),
            seeds=_seeds(f'{key}.seeds', given.get('seeds', seeds), among=seeds),
        )
        if not row.slug:
            raise ConfigurationError(f'{key}.name must hold a letter or a digit, not {row.name!r}')
        for other in made:
            if other.slug == row.slug:
                raise ConfigurationError(
                    f'{key}.name "{row.name}" gives the folder "{row.slug}", which is that of the '
                    f'row "{other.name}"'
                )
        made.append(row)
    names = [row.name for row in made]
    for index, row in enumerate(made):
        _check_budget(f'rows[{index}].budget', row.budget, names)
    return tuple(made)


def _baselines(given: Any, names: list) -> tuple[str, ...]:
    if given is None:
        return (names[0],)
    if not isinstance(given, (list, tuple)):
        raise ConfigurationError(
            f'baselines of the plan must be a list of names of rows, not {given!r}'
        )
    for name in given:
        if name not in names:
            raise ConfigurationError(
                f'baselines names the row "{name}"{did_you_mean(name, names)}, but the rows are '
                f'{", ".join(names)}'
            )
        if given.count(name) > 1:
            raise ConfigurationError(f'baselines names the row "{name}" twice')
    return tuple(given)


def _check_budget(key: str, budget: Any, names: list) -> None:
    if budget is None:
        return
    check_keys(budget, MEASURES, key)
    if len(budget) != 1:
        raise ConfigurationError(
            f'{key} must give one of {", ".join(MEASURES)}, but gives {", ".join(budget) or "none"}'
        )
    ((measure, value),) = budget.items()
    if isinstance(value, str):
        if value not in names:
            raise ConfigurationError(
                f'{key}.{measure} names the row "{value}"{did_you_mean(value, names)}, but the rows '
                f'are {", ".join(names)}'
            )
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e30:
        raise ConfigurationError(
            f'{key}.{measure} must be a positive number or the name of a row, not {value!r}'
        )


def _options(key: str, given: Any) -> dict:
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(f'{key} must be a dict, not {given!r}')
    return flatten(given or {})


def _seeds(key: str, seeds: Any, among: tuple[int, ...] | None = None) -> tuple[int, ...]:
    if (
        not isinstance(seeds, (list, tuple))
        or not seeds
        or len(set(map(str, seeds))) < len(seeds)
        or not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    ):
        raise ConfigurationError(
            f'{key} must be a list of different integers from 0 to 2**32 - 1, not {seeds!r}'
        )
    if among is not None and not set(seeds) <= set(among):
        raise ConfigurationError(
            f'{key} must be some of the seeds of the plan, {list(among)}, not {seeds!r}'
        )
    return tuple(seeds)
