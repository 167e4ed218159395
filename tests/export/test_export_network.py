import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from networks import build, classifier, resnet
from PIL import Image
from run_tool import run_tool
from test_export import SWIN, at_grade, build_plain_of

from edudistill_mm.config.load import load_config
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.deployed_student import DeployedStudent
from edudistill_mm.export.export_network import FORMATS, predictions, write_checked
from edudistill_mm.export.torch_export_format import METADATA

onnx = pytest.importorskip('onnx', reason='needs the extra onnx')
onnxruntime = pytest.importorskip('onnxruntime', reason='needs the extra onnx')

ROOT = Path(__file__).resolve().parents[2]
DIGITS = str(ROOT / 'configs' / 'edu_kd_digits.py')


def pixels(count=5, side=16, channels=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, side, side), generator=generator).byte()


def lively(model):
    """Give a network scores that differ between images and classes."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.weight.data.fill_(1)
        elif isinstance(module, torch.nn.Linear):
            module.weight.data.normal_(0, module.in_features**-0.5, generator=generator)
    return model.eval()


def tiny(**kwargs):
    """A student of five convolutions."""
    cfg = dict(resnet(), **kwargs)
    cfg['backbone'].update(num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,))
    cfg['head'].update(in_channels=4)
    return cfg


def with_preprocessor(to_rgb=False, channels=3, **kwargs):
    mean, std = [120.0, 110.0, 90.0][:channels], [60.0, 50.0, 40.0][:channels]
    return dict(type='ClsDataPreprocessor', mean=mean, std=std, to_rgb=to_rgb, **kwargs)


def rgb(images, order):
    return (images.flip(1) if order == 'bgr' else images).float()


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
@pytest.mark.parametrize('to_rgb', [True, False])
def test_pixels_in_rgb_give_what_mmpretrain_predicts_of_images_as_they_are_loaded(order, to_rgb):
    preprocessor = with_preprocessor(to_rgb, pad_size_divisor=10, pad_value=3)
    model = lively(build(dict(resnet(), data_preprocessor=preprocessor)))
    images = pixels()
    wanted = predictions(model, images)
    assert wanted.std(0).max() > 5e-3
    network = DeployedStudent(model, order)
    with torch.no_grad():
        assert torch.allclose(network(rgb(images, order)), wanted, atol=1e-6)
        assert not torch.allclose(network(rgb(images, order).flip(1)), wanted, atol=1e-3)
    # In the order of the input, whatever that of the network is.
    first = 120.0 if to_rgb != (order == 'rgb') else 90.0
    assert network.mean.flatten()[0] == first


@pytest.mark.parametrize('kind', FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize('channels', [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_gives_the_probabilities_of_the_student_for_any_number_of_images(
    kind, channels, tmp_path
):
    order = 'bgr' if channels == 3 else 'gray'
    cfg = tiny(data_preprocessor=with_preprocessor(True, channels))
    cfg['backbone']['in_channels'] = channels
    model = lively(build(cfg))
    images = pixels(channels=channels)
    wanted = predictions(model, images)
    path = str(tmp_path / 'student')
    network = DeployedStudent(model, order)
    write_checked(kind, network, rgb(images, order), wanted, path, dict(a='b'))
    run = kind.load(path)
    for count in (1, 2, 4):
        assert torch.allclose(run(rgb(images, order)[:count]), wanted[:count], atol=1e-5)
    with pytest.raises(ConfigurationError, match='other probabilities than the student'):
        write_checked(kind, network, rgb(images, order), wanted.roll(1, 1), path, {})


@pytest.mark.parametrize(
    'kind',
    [FORMATS['onnx'], pytest.param(FORMATS['torch.export'], marks=pytest.mark.slow)],
    ids=FORMATS,
)
@pytest.mark.parametrize(
    'options', [dict(), dict(fragments='blocks', num_fragments=2, new_blocks='keep')]
)
def test_what_a_lower_grade_does_not_use_is_not_in_the_file(kind, options, tmp_path):
    student, run, _ = at_grade(resnet(), 1, (0, 2, 3), **options)
    model = lively(build_plain_of(student, run))
    images = pixels()
    wanted = predictions(model, images)
    assert (wanted > 0).any(0).tolist() == [True, False, True, True, False, False]
    path = str(tmp_path / 'student')
    write_checked(kind, DeployedStudent(model, 'rgb'), rgb(images, 'rgb'), wanted, path, {})
    if kind.name == 'onnx':
        found = sum(node.op_type == 'Conv' for node in onnx.load(path).graph.node)
    else:
        with open(path, 'rb') as file:
            nodes = torch.export.load(file).graph.nodes
        found = sum('conv2d' in str(node.target) for node in nodes)
    # Those of a lower grade all run: see test_export.py.
    assert found == sum(isinstance(m, torch.nn.Conv2d) for m in model.modules())
    assert found < sum(isinstance(m, torch.nn.Conv2d) for m in student.modules())


@pytest.mark.parametrize('kind', FORMATS.values(), ids=FORMATS)
@pytest.mark.slow
def test_a_network_that_fixes_the_number_of_images_is_refused(kind, tmp_path):
    model = lively(build(dict(classifier(SWIN, 32), data_preprocessor=with_preprocessor())))
    images = pixels(side=32)
    wanted = predictions(model, images)
    with pytest.raises(ConfigurationError, match=f'cannot be exported as {kind.name}: '):
        network = DeployedStudent(model, 'rgb')
        write_checked(kind, network, rgb(images, 'rgb'), wanted, str(tmp_path / 'x'), {})


@pytest.mark.parametrize('kind', FORMATS.values(), ids=FORMATS)
@pytest.mark.slow
def test_a_network_of_timm_is_exported(kind, tmp_path):
    pytest.importorskip('timm')
    model = MODELS.build(
        dict(
            type='mmpretrain.TimmClassifier',
            model_name='resnet10t',
            num_classes=6,
            data_preprocessor=with_preprocessor(),
        )
    )
    images = pixels(side=64)
    wanted = predictions(lively(model), images)
    network = DeployedStudent(model, 'rgb')
    assert write_checked(kind, network, rgb(images, 'rgb'), wanted, str(tmp_path / 'x'), {}) < 1e-4


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Checkpoints of the first and the last grade of the digits job."""
    folder = tmp_path_factory.mktemp('run')
    algorithm = load_config(DIGITS).build_without_teachers()
    lively(algorithm)
    curriculum = algorithm.curriculum
    for grade in (curriculum.grades[0], curriculum.grades[-1]):
        meta = dict(
            dataset_meta=dict(classes=tuple(map(str, range(10)))),
            education=dict(
                grade=grade.name, seen=list(grade.seen), curriculum=curriculum.to_dict()
            ),
        )
        torch.save(
            dict(meta=meta, state_dict=algorithm.state_dict()), folder / f'{grade.name}.pth'
        )
    return folder


def test_the_tool_writes_onnx_of_a_lower_grade_with_its_metadata(checkpoints, tmp_path, capsys):
    out = tmp_path / 'new' / 'student.onnx'
    run_tool('export_student', [DIGITS, checkpoints / 'primary.pth', out, '--format', 'onnx'])
    printed = capsys.readouterr().out
    assert 'On 8 images of val_dataloader its probabilities differ by at most' in printed
    assert 'grade 1 of 3 "primary" and knows 4 of 10 classes' in printed
    assert [path.name for path in out.parent.iterdir()] == ['student.onnx']
    session = onnxruntime.InferenceSession(str(out), providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape == ['batch', 3, 8, 8]
    described = session.get_modelmeta().custom_metadata_map
    assert json.loads(described['class_names']) == list(map(str, range(10)))
    assert json.loads(described['input_size']) == [8, 8]
    assert json.loads(described['mean']) == pytest.approx([77.8] * 3)
    assert json.loads(described['seen_classes']) == [0, 1, 2, 3]
    assert described['channel_order'] == 'RGB'
    assert described['opset'] == '17'


@pytest.mark.slow
def test_the_tool_writes_a_program_of_torch_and_a_table_of_latencies(
    checkpoints, tmp_path, capsys
):
    out = tmp_path / 'student.pt2'
    arguments = [DIGITS, checkpoints / 'university.pth', out, '--format', 'torch.export']
    run_tool('export_student', [*arguments, '--latency'])
    rows = [line.split('|') for line in capsys.readouterr().out.splitlines() if '|' in line]
    assert [row[1].strip() for row in rows[2:]] == [
        'student',
        'student, torch.export',
        *(f'teacher {name}' for name in ('primary', 'middle', 'university')),
    ]
    assert all(float(row[column]) > 0 for row in rows[2:] for column in (3, 4, 5, 6))
    extra = {METADATA: ''}
    with open(out, 'rb') as file:
        torch.export.load(file, extra_files=extra)
    assert json.loads(json.loads(extra[METADATA])['input_size']) == [8, 8]


def test_without_onnx_one_sentence_says_what_to_install(
    checkpoints, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    out = tmp_path / 'student.onnx'
    with pytest.raises(SystemExit) as end:
        run_tool('export_student', [DIGITS, checkpoints / 'primary.pth', out, '--format', 'onnx'])
    assert end.value.code == 2
    assert 'pip install "onnx>=1.15" "onnxruntime>=1.17"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_images_of_an_unknown_order_are_asked_for_it(checkpoints, tmp_path, capsys):
    config = tmp_path / 'school.py'
    config.write_text(
        f"_base_ = '{DIGITS}'\n"
        "custom_imports = dict(imports=['toy_images'], allow_failed_imports=False)\n"
        "val_dataloader = dict(dataset=dict(_delete_=True, type='ToyImages'))\n"
    )
    arguments = [config, checkpoints / 'primary.pth', tmp_path / 'a.onnx', '--format', 'onnx']
    with pytest.raises(SystemExit):
        run_tool('export_student', arguments)
    error = capsys.readouterr().err.splitlines()[-1]
    assert 'metainfo=dict(channel_order="rgb")' in error
    assert [path.name for path in tmp_path.iterdir()] == ['school.py']


@pytest.mark.slow
def test_the_example_of_the_page_runs_without_torch_and_mm_packages(checkpoints, tmp_path):
    run_tool(
        'export_student',
        [DIGITS, checkpoints / 'university.pth', tmp_path / 'student.onnx', '--format', 'onnx'],
    )
    page = (ROOT / 'docs' / 'deployment.md').read_text()
    code = re.search(r'^```python\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)[1]
    assert 'student.onnx' in code and 'picture.png' in code
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'picture.png')
    hidden = ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmrazor', 'edudistill_mm')
    (tmp_path / 'example.py').write_text(
        f'import sys\nsys.modules.update(dict.fromkeys({hidden}))\n{code}'
    )
    done = subprocess.run(
        [sys.executable, 'example.py'], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == 5
    shares = [float(share) for _, share in rows]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1.01
