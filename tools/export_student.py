"""Export the student of a checkpoint, for MMPretrain or to run without it; see --help."""

import os

from edudistill_mm.apis.command_line import config_parser, run_command
from edudistill_mm.apis.latency import latency_table
from edudistill_mm.config.load import load_config
from edudistill_mm.engine.disk_space import full_disk_told
from edudistill_mm.export.export_network import FORMATS, export_network
from edudistill_mm.export.export_student import export_student, grade_of_export

PLAIN = 'mmpretrain'


def main(argv: list[str] | None = None) -> None:
    parser = config_parser('Export the student of a checkpoint')
    parser.add_argument('checkpoint', help='checkpoint of any grade')
    parser.add_argument(
        'out', help='file to write, such as student.pth; the config goes to student.py'
    )
    parser.add_argument(
        '--format',
        choices=[PLAIN, *FORMATS],
        default=PLAIN,
        help='a plain MMPretrain checkpoint (the default), or a network that runs without any MM '
        'package: ONNX (student.onnx) or a program of torch.export (student.pt2)',
    )
    parser.add_argument(
        '--latency',
        action='store_true',
        help='time student and teachers on the CPU, in turns, and print a table',
    )
    args = parser.parse_args(argv)

    def command() -> None:
        run = load_config(args.config, args.cfg_options)
        with full_disk_told(os.path.dirname(args.out) or '.'):
            if args.format == PLAIN:
                checkpoint, config = export_student(run, args.checkpoint, args.out)
                grade = grade_of_export(checkpoint)
                print(
                    f'Wrote {checkpoint} and its config {config}.'
                    + (f' It is {grade}.' if grade else '')
                )
            else:
                checked = export_network(run, args.checkpoint, args.out, args.format)
                print(f'Wrote {args.out}. {checked}')
        if args.latency:
            print(latency_table(run, args.checkpoint, args.out, args.format))

    run_command(command)


if __name__ == '__main__':
    main()
