"""Download and unpack a data set of the configs; see --help."""

from edudistill_mm.apis.cli import prepare_data

if __name__ == '__main__':
    prepare_data()
