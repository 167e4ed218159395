from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import mul
from typing import Any

from tqdm import tqdm

from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.data import build_dataset, check_data
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stretch import fit_lengths, stretched_options
from edudistill_mm.cost.training_cost import TrainingCost, training_cost
from edudistill_mm.errors import ConfigurationError

from .network_files import networks_in_files
from .plan import MEASURES, Plan
from .row import Row


@dataclass(frozen=True)
class PreparedRow:
    """A row whose config has been read, checked, and stretched or cut to its budget.

    ``original`` is the config before that; it trains the teachers, and ``cost`` is its cost.
    ``lengths`` are epochs (or iterations) of each grade. ``options``, by dotted key, turn the
    config file into ``run``.
    """

    row: Row
    original: RunConfig
    run: RunConfig
    cost: TrainingCost
    lengths: Sequence[int]
    options: dict[str, Any]

    @cached_property
    def networks(self) -> dict[str, Any]:
        """:func:`networks_in_files` of the config, the same for all seeds."""
        return networks_in_files(self.run.cfg)

    @property
    def length(self) -> int:
        """Epochs (or iterations) of the whole training."""
        return sum(self.lengths)


def prepare_rows(plan: Plan) -> list[PreparedRow]:
    """Read and check the configs of all rows and fit them to their budgets.

    Raises:
        ConfigurationError: For the first mistake, before anything is trained; it names the row.
    """
    originals, costs = {}, {}
    # Most rows have the data of the row before; all data sets may not fit into memory.
    read = dataset = None
    for row in tqdm(plan.rows, 'reading configs', unit=' rows', leave=False, disable=None):
        originals[row.name] = run = row.load()
        try:
            algorithm = check_config(run)
            check_data(run)
            check_classes(run)
            if run.cfg.train_dataloader.dataset != read:
                read = run.cfg.train_dataloader.dataset
                dataset = build_dataset(read)
            costs[row.name] = training_cost(run, dataset, algorithm)
        except ConfigurationError as error:
            raise ConfigurationError(f'row "{row.name}": {error}') from error
    prepared = []
    for row in plan.rows:
        run, cost = originals[row.name], costs[row.name]
        lengths = _fitted(row, plan, costs)
        batches = [stage.batches for stage in cost.stages]
        try:
            more = stretched_options(run, cost.lengths, lengths, partial(list, batches))
        except ConfigurationError as error:
            raise ConfigurationError(f'row "{row.name}": {error}') from error
        fitted = row.load(more) if more else run
        options = {**row.options, **more}
        prepared.append(PreparedRow(row, run, fitted, cost, lengths, options))
    return prepared


def _fitted(
    row: Row, plan: Plan, costs: dict[str, TrainingCost], asking: tuple[str, ...] = ()
) -> list[int]:
    cost = costs[row.name]
    if row.budget is None:
        return cost.lengths
    ((measure, budget),) = row.budget.items()
    if measure == 'epochs' and not cost.by_epoch:
        raise ConfigurationError(
            f'row "{row.name}": its config counts iterations, so its budget cannot be "epochs", but '
            f'{" or ".join(name for name in MEASURES if name != "epochs")}'
        )
    if budget == row.name:
        # A plan may measure all rows by one of them.
        return cost.lengths
    if isinstance(budget, str):
        asking = (*asking, row.name)
        if budget in asking:
            raise ConfigurationError(
                f'row "{row.name}": its budget is that of "{budget}", whose own depends on it'
            )
        if measure == 'epochs' and not costs[budget].by_epoch:
            raise ConfigurationError(
                f'row "{row.name}": its budget is the epochs of "{budget}", whose config counts '
                f'iterations; possible are {" or ".join(name for name in MEASURES if name != "epochs")}'
            )
        # What the other row costs by its own budget.
        lengths = _fitted(plan.row(budget), plan, costs, asking)
        budget = sum(map(mul, lengths, _stage_costs(costs[budget], measure)))
    try:
        return fit_lengths(cost.lengths, _stage_costs(cost, measure), budget)
    except ConfigurationError as error:
        raise ConfigurationError(f'row "{row.name}": {measure}: {error}') from error


def _stage_costs(cost: TrainingCost, measure: str) -> list[int]:
    """What an epoch (or iteration) of each stage costs."""
    if measure == 'epochs':
        return [1] * len(cost.stages)
    attribute = 'images' if measure == 'image_passes' else measure
    return [getattr(stage, attribute) for stage in cost.stages]
