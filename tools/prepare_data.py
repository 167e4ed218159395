"""Download and unpack a data set of the configs; see --help."""

import argparse

from edudistill_mm.apis.command_line import run_command
from edudistill_mm.apis.prepare_data import prepare_data
from edudistill_mm.datasets import SOURCES


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description='Download and unpack a data set of the configs')
    parser.add_argument('name', help=f'one of {", ".join(SOURCES)}')
    parser.add_argument(
        '--root',
        default='data',
        help='it goes to ROOT/NAME (default data/NAME, as in the configs)',
    )
    parser.add_argument('--url', help='a mirror of the official archive')
    args = parser.parse_args(argv)
    run_command(lambda: print(f'It is in {prepare_data(args.name, args.root, args.url)}.'))


if __name__ == '__main__':
    main()
