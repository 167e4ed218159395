"""Test the teachers of a config, each on its own classes; see --help."""

from edudistill_mm.apis.cli import test_teachers

if __name__ == '__main__':
    test_teachers()
