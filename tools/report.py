"""Report a run: accuracies, costs, class groups, plots; see --help."""

from edudistill_mm.apis.cli import report

if __name__ == '__main__':
    report()
