"""Test a checkpoint of any grade, or a plain student; see --help."""

import json
import os
import os.path as osp

from mmengine.dist import is_main_process

from edudistill_mm.apis.command_line import config_parser, run_command
from edudistill_mm.apis.test import test
from edudistill_mm.apis.train import prepare_runtime
from edudistill_mm.config.load import load_config
from edudistill_mm.errors import ConfigurationError


def main(argv: list[str] | None = None) -> None:
    parser = config_parser('Test a checkpoint of any grade, or a plain student', launcher=True)
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument('--out', help='JSON file for the metrics')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: by tta_pipeline and tta_model of the config, or else the mean of '
        'the scores of an image and its mirror image',
    )
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    def command() -> None:
        run = load_config(args.config, args.cfg_options, args.work_dir)
        prepare_runtime(run.cfg, args.launcher)
        if args.out:
            # An unusable file is refused before the test, whose result would be lost.
            if osp.isdir(args.out):
                raise ConfigurationError(f'--out must be a file, but "{args.out}" is a directory')
            os.makedirs(osp.dirname(args.out) or '.', exist_ok=True)
        metrics = test(run, args.checkpoint, args.tta)
        if args.out and is_main_process():
            with open(args.out, 'w') as file:
                json.dump(metrics, file, indent=2)

    run_command(command)


if __name__ == '__main__':
    main()
