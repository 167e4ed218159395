"""Print the table of the grades of a config; see --help."""

from edudistill_mm.apis.command_line import EPOCHS_OF_RUN, config_parser, run_command
from edudistill_mm.config.load import load_config
from edudistill_mm.config.stretch import stretch
from edudistill_mm.cost.curriculum_plot import check_plot_file, draw_curriculum
from edudistill_mm.cost.curriculum_table import curriculum_table


def main(argv: list[str] | None = None) -> None:
    parser = config_parser('Print the table of the grades of a config', epochs=EPOCHS_OF_RUN)
    parser.add_argument(
        '--plot', metavar='FILE', help='draw the curriculum, too, as .pdf, .svg or .png'
    )
    args = parser.parse_args(argv)

    def command() -> None:
        if args.plot is not None:
            check_plot_file(args.plot)
        run = load_config(args.config, args.cfg_options)
        if args.epochs is not None:
            run = stretch(run, args.epochs)
        print(curriculum_table(run))
        if args.plot is not None:
            draw_curriculum(run, args.plot)
            print(f'The plot: {args.plot}')

    run_command(command)


if __name__ == '__main__':
    main()
