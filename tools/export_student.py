"""Export the student of a checkpoint as a plain MMPretrain model; see --help."""

import os

from edudistill_mm.apis.command_line import config_parser, run_command
from edudistill_mm.config.load import load_config
from edudistill_mm.engine.disk_space import full_disk_told
from edudistill_mm.export.export_student import export_student, grade_of_export


def main(argv: list[str] | None = None) -> None:
    parser = config_parser('Export the student of a checkpoint as a plain MMPretrain model')
    parser.add_argument('checkpoint', help='checkpoint of any grade')
    parser.add_argument(
        'out', help='file to write, such as student.pth; the config goes to student.py'
    )
    args = parser.parse_args(argv)

    def command() -> None:
        run = load_config(args.config, args.cfg_options)
        with full_disk_told(os.path.dirname(args.out) or '.'):
            checkpoint, config = export_student(run, args.checkpoint, args.out)
        grade = grade_of_export(checkpoint)
        print(
            f'Wrote {checkpoint} and its config {config}.' + (f' It is {grade}.' if grade else '')
        )

    run_command(command)


if __name__ == '__main__':
    main()
