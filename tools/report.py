"""Report a run: accuracies, costs, class groups, plots; Markdown and HTML; see --help."""

import argparse

from edudistill_mm.apis.command_line import run_command
from edudistill_mm.comparison.report import report


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description='Report a run: accuracies, costs, class groups, plots'
    )
    parser.add_argument('work_dir', help='its work dir')
    parser.add_argument('--out', help='folder for the report (default: WORK_DIR/report)')
    args = parser.parse_args(argv)
    run_command(lambda: print(f'The report: {report(args.work_dir, args.out)}'))


if __name__ == '__main__':
    main()
