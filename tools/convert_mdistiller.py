"""Turn a checkpoint of RepDistiller or mdistiller into an MMPretrain model; see --help."""

from edudistill_mm.apis.cli import convert_mdistiller

if __name__ == '__main__':
    convert_mdistiller()
