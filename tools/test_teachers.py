"""Test the teachers of a config, each on its own classes; see --help."""

from edudistill_mm.apis.command_line import config_parser, run_command
from edudistill_mm.apis.test_teachers import teachers_table, test_teachers
from edudistill_mm.apis.train import prepare_runtime
from edudistill_mm.config.load import load_config
from edudistill_mm.validation.values import check_positive


def main(argv: list[str] | None = None) -> None:
    parser = config_parser('Test the teachers of a config, each on its own classes')
    parser.add_argument(
        '--max-samples',
        type=int,
        help='images for each teacher, evenly over its classes (default: all)',
    )
    args = parser.parse_args(argv)

    def command() -> None:
        if args.max_samples is not None:
            check_positive(args.max_samples, '--max-samples')
        run = load_config(args.config, args.cfg_options)
        prepare_runtime(run.cfg)
        print(teachers_table(test_teachers(run, args.max_samples)))

    run_command(command)


if __name__ == '__main__':
    main()
