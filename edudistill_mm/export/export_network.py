"""Write the student of a checkpoint as a network that runs without any MM package."""

import json
import os
import os.path as osp
import textwrap

import torch
from torch import Tensor, nn

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.datasets.class_lists import class_names_of
from edudistill_mm.errors import ConfigurationError, full_disk_error, reason_of
from edudistill_mm.export.deployed_student import DeployedStudent
from edudistill_mm.export.example_images import ExampleImages
from edudistill_mm.export.export_student import check_out, grade_of_meta
from edudistill_mm.export.network_format import INPUT, OUTPUT, NetworkFormat
from edudistill_mm.export.onnx_format import OnnxFormat
from edudistill_mm.export.plain_student import PlainStudent
from edudistill_mm.export.torch_export_format import TorchExportFormat
from edudistill_mm.version import __version__

FORMATS: dict[str, NetworkFormat] = {f.name: f for f in (OnnxFormat(), TorchExportFormat())}
# Of a probability: relative, and where it is next to nothing.
RTOL, ATOL = 1e-3, 1e-6
TRACED = 2  # images


def export_network(run: RunConfig, checkpoint: str, out: str, format: str) -> str:
    """Write the student of a checkpoint in a format of :data:`FORMATS`, and check the file.

    The file takes any number of images of the size that the run's validation has, as float32
    [B, C, H, W] of 0 to 255 in RGB (or gray), and gives probabilities [B, num_classes]. It is read
    back and must give those of the plain student on images of the run, alone and in a batch.

    Args:
        run (RunConfig): What :func:`load_config` returned; its images must be at hand.
        checkpoint (str): A checkpoint of it, of any grade.
        out (str): The file to write.
        format (str): ``'onnx'`` or ``'torch.export'``.

    Returns:
        str: Sentences on the check, and on the grade if it is not the last.

    Raises:
        ConfigurationError: If a package is missing, the checkpoint or the images cannot be used,
            or the student cannot be exported; then there is no file.
    """
    kind = FORMATS[format]
    kind.check_packages()
    check_out(out, f'student{kind.suffix}')
    found = PlainStudent.of_checkpoint(run, checkpoint)
    examples = ExampleImages.of_run(run.cfg)
    model = found.build(found.state)
    wanted = predictions(model, examples.images)
    network = DeployedStudent(model, examples.order)
    described = metadata(network, examples, found.meta, wanted.shape[1])
    os.makedirs(osp.dirname(out) or '.', exist_ok=True)
    part = f'{out}.part'
    try:
        difference = write_checked(kind, network, examples.rgb, wanted, part, described)
        os.replace(part, out)
    finally:
        if osp.exists(part):
            os.remove(part)
    grade = grade_of_meta(found.meta)
    return (
        f'On {len(wanted)} images of {examples.source} its probabilities differ by at most '
        f'{difference:.1e} from those of the student.' + (f' It is {grade}.' if grade else '')
    )


def predictions(model: nn.Module, images: Tensor) -> Tensor:
    """What MMPretrain predicts: probabilities [B, num_classes] of images as they are loaded."""
    model.eval()
    with torch.no_grad():
        samples = model.test_step(dict(inputs=list(images)))
    return torch.stack([sample.pred_score for sample in samples])


def write_checked(
    kind: NetworkFormat,
    network: DeployedStudent,
    images: Tensor,
    wanted: Tensor,
    path: str,
    described: dict[str, str],
) -> float:
    """Write a network and compare the file with ``wanted``; the largest difference.

    Raises:
        ConfigurationError: If it cannot be written, or gives other scores.
    """
    what = f'the student cannot be exported as {kind.name}'
    try:
        kind.write(network, images[:TRACED], path, described)
        run = kind.load(path, torch.get_num_threads())
        traced = run(images[:TRACED])
    except Exception as error:  # exporters fail in all ways
        if full_disk_error(error) is not None:
            raise
        raise ConfigurationError(f'{what}: {_short(reason_of(error))}') from error
    if not torch.allclose(traced, wanted[:TRACED], RTOL, ATOL):
        raise ConfigurationError(
            f'{what}: its file gives other probabilities than the student, up to '
            f'{(traced - wanted[:TRACED]).abs().max():.1e} away'
        )
    for count in (1, len(images)):
        try:
            scores = run(images[:count])
        except Exception as error:  # runtimes fail in all ways
            raise ConfigurationError(
                f'{what}: its code fixes the number of images in a batch ({_short(reason_of(error))})'
            ) from error
        if scores.shape != wanted[:count].shape or not torch.allclose(
            scores, wanted[:count], RTOL, ATOL
        ):
            raise ConfigurationError(
                f'{what}: its code fixes the number of images in a batch, so that {count} give other '
                f'probabilities than {TRACED} do'
            )
    return (scores - wanted).abs().max().item()


def metadata(
    network: DeployedStudent, examples: ExampleImages, meta: dict, num_classes: int
) -> dict[str, str]:
    """What the file says of itself; lists in JSON. See ``docs/deployment.md``."""
    names = list(class_names_of(dict(meta=meta)) or examples.classes or ())[:num_classes]
    names += map(str, range(len(names), num_classes))
    described = dict(
        class_names=json.dumps(names),
        input_name=INPUT,
        input_layout='NCHW',
        input_size=json.dumps(list(examples.images.shape[2:])),
        input_range='0 to 255',
        channel_order='gray' if examples.order == 'gray' else 'RGB',
        normalisation='inside the network',
        mean=json.dumps(network.mean.flatten().tolist()),
        std=json.dumps(network.std.flatten().tolist()),
        output_name=OUTPUT,
        output='probabilities',
        made_by=f'edudistill_mm {__version__}, torch {torch.__version__}',
    )
    if 'grade' in meta:
        seen = json.dumps(sorted(meta['seen_classes']))
        described |= dict(grade=meta['grade'], seen_classes=seen)
    return described


def _short(reason: str) -> str:
    return textwrap.shorten(reason, 300, placeholder=' ...')
