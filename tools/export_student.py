"""Export the student of a checkpoint as a plain MMPretrain model; see --help."""

from edudistill_mm.apis.cli import export

if __name__ == '__main__':
    export()
