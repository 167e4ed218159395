import importlib.util
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from networks import build

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'gpu' / 'captured_loop.py'


def run(monkeypatch, capsys, *arguments):
    """The script's main function on these arguments: its module, and the lines it has printed."""
    spec = importlib.util.spec_from_file_location('captured_loop', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', ['captured_loop.py', *map(str, arguments)])
    module.main()
    return module, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_it_trains_is_a_network_of_mmpretrain_that_has_learnt(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    colours = random.integers(0, 255, (4, 3, 1, 1), np.uint8)
    for split in ('train', 'test'):
        labels = [index % 4 for index in range(64)]
        noise = random.integers(0, 20, (64, 3, 32, 32), np.uint8)
        data = np.minimum(colours[labels].astype(int) + noise, 255).astype(np.uint8)
        file = tmp_path / 'cifar-100-python' / split
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(pickle.dumps(dict(data=data.reshape(64, -1), fine_labels=labels)))
    options = ['--net', 8, '--epochs', 12, '--batch-size', 16, '--lr', 0.1]
    where = ['--data-root', tmp_path, '--out', tmp_path / 'teacher.pth']
    module, (line,) = run(monkeypatch, capsys, 'teacher', *options, *where)
    assert line['top1'] > 90  # four plain colours

    state = torch.load(tmp_path / 'teacher.pth', weights_only=True)['state_dict']
    network = build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='edudistill_mm.CIFARResNet', depth=8),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=100, in_channels=64),
        )
    )
    network.load_state_dict(state)
    own = module.ResNet(8)
    own.load_state_dict(state)
    images = module.Images(tmp_path, 5)
    batch = images.normal(images.test)
    with torch.no_grad():
        expected = network.eval().head(network.extract_feat(batch))
        torch.testing.assert_close(own.eval()(batch), expected)


def test_a_view_is_a_crop_of_the_padded_image_and_its_mirror(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location('captured_loop', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data = np.random.default_rng(1).integers(0, 255, (2, 3072), np.uint8)
    folder = tmp_path / 'cifar-100-python'
    folder.mkdir()
    for split in ('train', 'test'):
        (folder / split).write_bytes(pickle.dumps(dict(data=data, fine_labels=[0, 1])))
    images = module.Images(tmp_path, None)
    views = torch.tensor([(4 * 9 + 4) * 2, (0 * 9 + 8) * 2 + 1])
    plain, mirrored = images.batch(torch.tensor([0, 1]), views)
    torch.testing.assert_close(plain, images.normal(images.test)[0])
    crop = images.padded[1:2, :, 0:32, 8:40].flip(3)
    torch.testing.assert_close(mirrored, images.normal(crop)[0])
