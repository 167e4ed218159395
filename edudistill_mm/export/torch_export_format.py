import json
import warnings
from collections.abc import Callable

import torch
from packaging.version import Version
from torch import Tensor

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.deployed_student import DeployedStudent
from edudistill_mm.export.network_format import NetworkFormat

OLDEST = '2.5'
METADATA = 'metadata.json'


class TorchExportFormat(NetworkFormat):
    """The programs of ``torch.export``, which torch reads without the network's Python code."""

    name, suffix = 'torch.export', '.pt2'

    def check_packages(self) -> None:
        """Raise ConfigurationError if torch is too old."""
        if Version(torch.__version__) < Version(OLDEST):
            raise ConfigurationError(
                f'--format torch.export needs torch {OLDEST} or newer, but torch {torch.__version__} '
                f'is installed: pip install "torch>={OLDEST}", or use --format onnx'
            )

    def write(
        self, network: DeployedStudent, images: Tensor, path: str, metadata: dict[str, str]
    ) -> None:
        """Write a program; its metadata lie in the file as ``metadata.json``."""
        from torch.fx.experimental.proxy_tensor import make_fx

        batch = torch.export.Dim('batch')
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            # First a graph without modules: a student that leaves its backbone at a cut does so in
            # the middle of modules, of which torch.export would miss the ends.
            graph = make_fx(
                lambda x: network(x),
                tracing_mode='symbolic',
                pre_dispatch=True,
                _allow_non_fake_inputs=True,
            )(images)
            program = torch.export.export(
                graph, (images,), dynamic_shapes=({0: batch},), strict=False
            )
            with open(path, 'wb') as file:
                torch.export.save(program, file, extra_files={METADATA: json.dumps(metadata)})

    def load(self, path: str, threads: int = 1) -> Callable[[Tensor], Tensor]:
        """Run a file by torch on the CPU; ``threads`` are those of the process."""
        with open(path, 'rb') as file:
            module = torch.export.load(file).module()

        def run(images: Tensor) -> Tensor:
            with torch.no_grad():
                return module(images)

        return run
