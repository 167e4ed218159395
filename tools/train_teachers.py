"""Train the teachers of a config that have no checkpoint yet; see --help."""

import os

from mmengine.dist import is_main_process

from edudistill_mm.apis.command_line import config_parser, run_command
from edudistill_mm.apis.teachers import train_teachers
from edudistill_mm.apis.train import prepare_runtime
from edudistill_mm.config.load import load_config


def main(argv: list[str] | None = None) -> None:
    parser = config_parser(
        'Train the teachers of a config that have no checkpoint yet',
        launcher=True,
        epochs='train each for N epochs; its schedule is stretched or cut to them',
    )
    parser.add_argument(
        '--only', nargs='+', metavar='NAME', help='the teachers to train (default: all)'
    )
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    def command() -> None:
        run = load_config(args.config, args.cfg_options, args.work_dir)
        prepare_runtime(run.cfg, args.launcher)
        written = train_teachers(run, args.only, args.epochs)
        if is_main_process():
            print(
                '\n'.join(['Trained:', *written])
                if written
                else 'Nothing to do: all checkpoints are there.'
            )

    run_command(command)


if __name__ == '__main__':
    main()
