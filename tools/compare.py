"""Train the rows of a comparison, as far as they are not trained yet, and report; see --help."""

import argparse
import os
import sys

from mmengine.config import DictAction

from edudistill_mm.apis.command_line import run_command
from edudistill_mm.comparison.compare import compare, describe_plan
from edudistill_mm.comparison.plan import Plan
from edudistill_mm.errors import ConfigurationError


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description='Train the rows of a comparison, as far as they are not trained yet, and report'
    )
    parser.add_argument('plan', help='Python, YAML or JSON file with rows and seeds')
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        '--gpus',
        nargs='+',
        metavar='ID',
        help='spread the trainings over these GPUs, one on each at a time; a GPU named twice takes two',
    )
    places.add_argument('--jobs', type=int, default=1, help='trainings at a time (default 1)')
    parser.add_argument(
        '--rerun-changed',
        action='store_true',
        help='move runs whose config or weights have changed aside and train them anew',
    )
    parser.add_argument(
        '--report-only', action='store_true', help='train nothing, report what is finished'
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='print rows, epochs, costs and commands only'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help="override values of all rows' configs, such as data_root=FOLDER",
    )
    args = parser.parse_args(argv)

    def command() -> None:
        if args.jobs < 1:
            raise ConfigurationError(f'--jobs must be at least 1, but got {args.jobs}')
        plan = Plan.from_file(args.plan, args.cfg_options)
        if args.dry_run:
            print(describe_plan(plan))
            return
        # Trainings side by side share the cores.
        threads = max(1, (os.cpu_count() or 1) // len(args.gpus or range(args.jobs)))
        common = {} if 'OMP_NUM_THREADS' in os.environ else {'OMP_NUM_THREADS': str(threads)}
        if args.gpus:
            environments = [{**common, 'CUDA_VISIBLE_DEVICES': gpu} for gpu in args.gpus]
        else:
            environments = [common] * args.jobs
        try:
            path, failed = compare(
                plan,
                environments,
                args.rerun_changed,
                not args.report_only,
                lambda line: print(line, flush=True),
            )
        except KeyboardInterrupt:
            print('interrupted; the same command goes on from here', file=sys.stderr)
            sys.exit(130)
        print(f'The report: {path}')
        if failed:
            names = '\n'.join(f'  {job.name}: {job.error}' for job in failed)
            print(f'error: {len(failed)} trainings failed:\n{names}', file=sys.stderr)
            sys.exit(1)

    run_command(command)


if __name__ == '__main__':
    main()
