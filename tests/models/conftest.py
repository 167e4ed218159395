import pytest
import torch
from networks import build, resnet


@pytest.fixture
def teacher_file(tmp_path):
    """Function that writes the checkpoint of a randomly initialised :func:`resnet` and returns its
    path."""

    def write(name, num_classes, seed):
        model = build(resnet(num_classes), seed)
        # Away from the near-uniform outputs of a fresh head, so that wrong rows or classes change
        # a loss.
        torch.nn.init.normal_(model.head.fc.weight, std=1.0)
        path = tmp_path / f'{name}.pth'
        torch.save(dict(state_dict=model.state_dict()), path)
        return str(path)

    return write
