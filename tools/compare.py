"""Train the rows of a comparison, as far as they are not trained yet, and report; see --help."""

from edudistill_mm.apis.cli import compare

if __name__ == '__main__':
    compare()
