import inspect
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.deployed_student import DeployedStudent
from edudistill_mm.export.network_format import INPUT, OUTPUT, NetworkFormat

# The first with a LayerNormalization of its own, and the last of torch 2.1.
OPSET = 17


class OnnxFormat(NetworkFormat):
    """ONNX, written by torch's exporter from a trace, and run by onnxruntime."""

    name, suffix = 'onnx', '.onnx'

    def check_packages(self) -> None:
        """Raise ConfigurationError if onnx or onnxruntime is missing."""
        missing = [name for name in ('onnx', 'onnxruntime') if find_spec(name) is None]
        if missing:
            raise ConfigurationError(
                f'--format onnx needs the package {" and ".join(missing)}: pip install '
                '"onnx>=1.15" "onnxruntime>=1.17"'
            )

    def write(
        self, network: DeployedStudent, images: Tensor, path: str, metadata: dict[str, str]
    ) -> None:
        """Write an ONNX file of :data:`OPSET` with its weights and metadata inside."""
        import onnx

        # torch has two exporters since 2.5; the one by traces is in all versions and needs no more
        # packages.
        can_choose = 'dynamo' in inspect.signature(torch.onnx.export).parameters
        by_trace: dict[str, Any] = dict(dynamo=False) if can_choose else {}
        # What a trace may get wrong shows where its file is compared with the network.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            torch.onnx.export(
                network,
                (images,),
                path,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: 'batch'}, OUTPUT: {0: 'batch'}},
                opset_version=OPSET,
                **by_trace,
            )
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {**metadata, 'opset': str(OPSET)})
        onnx.checker.check_model(model)
        onnx.save(model, path)

    def load(self, path: str, threads: int = 1) -> Callable[[Tensor], Tensor]:
        """Run a file by onnxruntime on the CPU."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

        return run
