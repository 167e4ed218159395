"""What all commands share: a parser, exit statuses, and one sentence for a user's mistake."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from mmengine.config import DictAction

from edudistill_mm.engine.sudden_ends import sentence_of
from edudistill_mm.errors import ConfigurationError, Preempted, TrainingError

from .ranks import another_has_failed, print_error_once
from .warnings_once import warnings_once

# EX_TEMPFAIL of sysexits.h: to be tried again; 143 would mean killed by SIGTERM.
PREEMPTED = 75
EPOCHS_OF_RUN = (
    'length of the run; grades, schedules, warm-ups and times of hooks keep their proportions, '
    'teachers their own length'
)


class _KeyValues(DictAction):
    """MMEngine's, which fails at an option without a value."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        for value in values:
            if '=' not in value:
                raise argparse.ArgumentError(self, f'must be KEY=VALUE, but got "{value}"')
        super().__call__(parser, namespace, values, option)


def config_parser(
    description: str, launcher: bool = False, epochs: str = '', optional: bool = False
) -> argparse.ArgumentParser:
    """A parser with ``config`` and ``--cfg-options``, and with options of a launcher.

    ``epochs`` is the help of ``--epochs``; without it there is no such option. ``optional``:
    whether the config may be left out.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', nargs='?' if optional else None, help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_KeyValues,
        metavar='KEY=VALUE',
        help='override values of the config, lists as key="[a,b]"; data_root=FOLDER applies to all data sets',
    )
    if epochs:
        parser.add_argument('--epochs', type=int, metavar='N', help=epochs)
    if launcher:
        parser.add_argument('--work-dir', help='folder for logs and results')
        parser.add_argument(
            '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
        )
        # torch.distributed.launch passes the one or the other, depending on the version.
        parser.add_argument(
            '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS
        )
    return parser


def run_command(command: Callable[[], None]) -> None:
    """Run a command; what ends it is printed as one sentence.

    The status is 2 for a user's mistake, 1 for a training that cannot go on, 75 for one that has
    been preempted.
    """
    try:
        with warnings_once():
            command()
    except Preempted as stop:
        again = 'the same command with --resume' if stop.to_resume else 'the same command'
        _end(f'{stop}; {again} goes on from there', PREEMPTED, 'stopped')
    except TrainingError as error:
        _end(str(error), 1)
    except ConfigurationError as error:
        _end(str(error))
    except Exception as error:
        # MMEngine's registries, for a misspelt type that is not part of the model.
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else ''
        if 'is not in the' in message:
            _end(message.split('. ')[0])
        if another_has_failed():
            # Another rank has printed the reason.
            sys.exit(2)
        known = sentence_of(error)
        if known is None:
            raise
        _end(*known)


def _end(message: str, status: int = 2, kind: str = 'error') -> None:
    """Print one sentence, on one rank, and exit."""
    print_error_once(message, kind)
    sys.exit(status)
