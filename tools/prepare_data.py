"""Download and unpack a data set of the configs; see --help."""

import argparse
import os
import os.path as osp

from edudistill_mm.apis.command_line import run_command
from edudistill_mm.apis.prepare_data import prepare_data
from edudistill_mm.apis.shrink_images import shrink_images
from edudistill_mm.datasets import SOURCES
from edudistill_mm.validation.values import check_positive


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description='Download and unpack a data set of the configs')
    parser.add_argument('name', help=f'one of {", ".join(SOURCES)}')
    parser.add_argument(
        '--root',
        default='data',
        help='it goes to ROOT/NAME (default data/NAME, as in the configs)',
    )
    parser.add_argument('--url', help='a mirror of the official archive')
    parser.add_argument(
        '--short-side',
        type=int,
        metavar='PIXELS',
        help='also copy it to ROOT/NAME-PIXELS, its images shrunk to this short side, which are '
        'decoded faster',
    )
    args = parser.parse_args(argv)

    def command() -> None:
        if args.short_side is not None:
            check_positive(args.short_side, '--short-side')
        folder = prepare_data(args.name, args.root, args.url)
        if args.short_side is not None:
            home = osp.join(args.root, f'{args.name}-{args.short_side}')
            os.makedirs(home, exist_ok=True)
            whole, folder = folder, osp.join(home, osp.basename(folder))
            shrink_images(whole, folder, args.short_side)
        print(f'It is in {folder}.')

    run_command(command)


if __name__ == '__main__':
    main()
