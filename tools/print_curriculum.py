"""Print the table of the grades of a config; see --help."""

from edudistill_mm.apis.cli import print_curriculum

if __name__ == '__main__':
    print_curriculum()
