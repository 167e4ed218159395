"""Cut every backbone of MMPretrain and write docs/students.md."""

import argparse
import sys
from pathlib import Path

import torch

from edudistill_mm.apis.page import check_page, write_page
from edudistill_mm.apis.students_table import check_student, students_table
from edudistill_mm.errors import ConfigurationError

PAGE = Path(__file__).parents[1] / 'docs' / 'students.md'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', help='check these backbones only and write nothing')
    parser.add_argument(
        '--check', action='store_true', help='fail if the page is not what it should be'
    )
    args = parser.parse_args()
    # Two small images gain nothing from threads.
    torch.set_num_threads(1)
    if args.names:
        for name in args.names:
            print(check_student(name).markdown())
        return
    page = students_table(lambda line: print(line, flush=True))
    if not args.check:
        write_page(PAGE, page)
        return
    try:
        check_page(PAGE, page, 'python tools/students_table.py')
    except ConfigurationError as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
