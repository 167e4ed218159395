"""Print the table of the grades of a config; see --help."""

from edudistill_mm.apis.command_line import EPOCHS_OF_RUN, config_parser, run_command
from edudistill_mm.config.load import load_config
from edudistill_mm.config.stretch import stretch
from edudistill_mm.cost.curriculum_table import curriculum_table


def main(argv: list[str] | None = None) -> None:
    parser = config_parser('Print the table of the grades of a config', epochs=EPOCHS_OF_RUN)
    args = parser.parse_args(argv)

    def command() -> None:
        run = load_config(args.config, args.cfg_options)
        if args.epochs is not None:
            run = stretch(run, args.epochs)
        print(curriculum_table(run))

    run_command(command)


if __name__ == '__main__':
    main()
