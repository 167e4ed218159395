"""Which backbones of MMPretrain become ONNX and torch.export, found by exporting each; see --help."""

import argparse
import tempfile

import torch
from students_table import REFUSED, STUDENTS, student_config

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.deployed_student import DeployedStudent
from edudistill_mm.export.export_network import FORMATS, predictions, write_checked
from edudistill_mm.models.network import build_module, dry_run, first_input_channels

COUNT = 5


def export(name: str, kind: str) -> str:
    """'yes', or the sentence with which a format refuses a backbone of :data:`STUDENTS`."""
    torch.manual_seed(0)
    model = build_module(student_config(name), name, 'mmpretrain').eval()
    shape = dry_run(model, lambda image: model(image, mode='tensor') is not None and image.shape)
    images = torch.randint(256, (COUNT, first_input_channels(model), *shape[2:])).byte()
    for module in model.modules():
        # Scores that differ between images.
        if isinstance(module, torch.nn.Linear):
            module.weight.data.normal_(0, module.in_features**-0.5)
    model.data_preprocessor.mean = torch.full((1, 1, 1), 128.0)
    model.data_preprocessor.std = torch.full((1, 1, 1), 64.0)
    model.data_preprocessor._enable_normalize = True
    wanted = predictions(model, images)
    with tempfile.NamedTemporaryFile() as file:
        network = DeployedStudent(model, 'rgb')
        try:
            write_checked(FORMATS[kind], network, images.float(), wanted, file.name, {})
        except ConfigurationError as error:
            return str(error)
    return 'yes'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', help='backbones; all by default')
    parser.add_argument('--formats', nargs='+', choices=FORMATS, default=list(FORMATS))
    args = parser.parse_args()
    for name in args.names or [name for name in STUDENTS if name not in REFUSED]:
        for kind in args.formats:
            print(f'{name} | {kind} | {export(name, kind)}', flush=True)


if __name__ == '__main__':
    main()
