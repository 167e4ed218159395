"""Ask the teachers of a config ahead for the answers that it keeps; see --help."""

import sys

from edudistill_mm.apis.command_line import config_parser, run_command
from edudistill_mm.apis.fill_answers import fill_answers
from edudistill_mm.apis.train import prepare_runtime
from edudistill_mm.config.load import load_config
from edudistill_mm.validation.values import check_positive


def main(argv: list[str] | None = None) -> None:
    parser = config_parser('Ask the teachers of a config ahead for the answers that it keeps')
    parser.add_argument(
        '--work-dir',
        help='that of a run, beside which the answers are kept; for a plan WORK_DIR/row',
    )
    parser.add_argument(
        '--batch-size', type=int, default=512, help='images at once (default: %(default)s)'
    )
    parser.add_argument('--amp', action='store_true', help='for runs with --amp')
    args = parser.parse_args(argv)

    def command() -> None:
        check_positive(args.batch_size, '--batch-size')
        run = load_config(args.config, args.cfg_options, args.work_dir)
        prepare_runtime(run.cfg, amp=args.amp)
        try:
            print(f'{fill_answers(run, args.batch_size):,} answers were asked.')
        except KeyboardInterrupt:
            print('\nWhat was asked is kept; the same command goes on from there.')
            sys.exit(130)

    run_command(command)


if __name__ == '__main__':
    main()
