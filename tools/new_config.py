"""Write a config for one's own images; see --help."""

import argparse
import os
import os.path as osp
import shlex
import sys

from edudistill_mm.apis.command_line import run_command
from edudistill_mm.apis.new_config import DAMAGED, new_config
from edudistill_mm.apis.tool_path import tool_path


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a config for one's own images")
    parser.add_argument(
        '--data',
        required=True,
        metavar='FOLDER',
        help='folders train and val (and test), or one folder, with a folder of images for each class',
    )
    parser.add_argument(
        '--student',
        required=True,
        metavar='NAME',
        help="of MMPretrain's zoo, timm or the CIFAR networks: mobilenet_v2, timm:resnet26, resnet20",
    )
    parser.add_argument('--teacher', required=True, metavar='NAME', help='the same')
    parser.add_argument('--epochs', required=True, type=int, metavar='N', help='of the student')
    parser.add_argument('--out', required=True, metavar='FILE', help='such as my_run.py')
    parser.add_argument('--image-size', type=int, metavar='PIXELS', help='default: by the images')
    parser.add_argument('--batch-size', type=int, metavar='N', help='default: by their number')
    parser.add_argument(
        '--val-share',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='of each class that is held out if there is no folder val (default 0.2)',
    )
    parser.add_argument('--seed', type=int, default=0, help='chooses which (default 0)')
    parser.add_argument(
        '--damaged',
        choices=DAMAGED,
        default='refuse',
        help='files that cannot be read: refuse (default), skip, or ignore, which looks at 500 images only',
    )
    for network in ('student', 'teacher'):
        parser.add_argument(
            f'--{network}-weights',
            default='published',
            metavar='START',
            help=f'what the {network} starts from: published (default), none or a file',
        )
    parser.add_argument(
        '--teacher-ckpt', metavar='FILE', help='a teacher that knows these classes already'
    )
    parser.add_argument(
        '--teacher-epochs', type=int, metavar='N', help='default: half of --epochs'
    )
    parser.add_argument('--force', action='store_true', help='overwrite the file')
    args = vars(parser.parse_args(argv))

    def command() -> None:
        given = sys.argv[1:] if argv is None else argv
        written = new_config(**args, command=shlex.join(['python', 'tools/new_config.py', *given]))
        print('\n'.join(written.remarks))
        tool = osp.relpath(tool_path('train'))
        train = ['python', tool, written.path, *['--train-teachers'] * written.trains_teacher]
        print(f'Wrote {written.path}. Next:{os.linesep}    {shlex.join(train)}')

    run_command(command)


if __name__ == '__main__':
    main()
