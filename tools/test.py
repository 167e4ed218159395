"""Test a checkpoint of any grade, or a plain student; see --help."""

from edudistill_mm.apis.cli import test

if __name__ == '__main__':
    test()
