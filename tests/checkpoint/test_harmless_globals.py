import argparse
import os
import sys
import types
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
import torch
from addict import Dict as AddictDict
from checkpoint_files import Call, needs_allow_list, refusal, save
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.weights import extract_state_dict


class Line(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.full((2,), index / 8)


class Slope(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, *inputs, mode='loss'):
        return dict(loss=self.linear(torch.stack(inputs)).square().mean())


@pytest.fixture(scope='module')
def mmengine_checkpoint(tmp_path_factory) -> Path:
    """A training checkpoint as MMEngine's Runner writes it."""
    work_dir = tmp_path_factory.mktemp('mmengine')
    runner = Runner(
        Slope(),
        str(work_dir),
        train_dataloader=dict(
            dataset=Line(), sampler=dict(type=DefaultSampler, shuffle=False), batch_size=4
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        experiment_name='teacher_checkpoint',
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_scope='mmengine',
    )
    runner.message_hub.update_info('best', np.float64(0.5), resumed=True)
    runner.train()
    return work_dir / 'epoch_2.pth'


@needs_allow_list
def test_a_training_checkpoint_of_mmengine_is_read_with_its_history(mmengine_checkpoint):
    checkpoint = load_checkpoint_file(str(mmengine_checkpoint))
    reference = torch.load(mmengine_checkpoint, weights_only=False)
    assert set(extract_state_dict(checkpoint)) == {'linear.weight', 'linear.bias'}
    assert checkpoint['message_hub']['runtime_info']['best'] == 0.5
    scalars, wanted = (c['message_hub']['log_scalars'] for c in (checkpoint, reference))
    assert list(scalars) == list(wanted) and 'train/loss' in scalars
    for name, buffer in scalars.items():
        assert isinstance(buffer, HistoryBuffer)
        for numbers, wanted_numbers in zip(buffer.data, wanted[name].data):
            assert numbers.dtype == wanted_numbers.dtype
            np.testing.assert_array_equal(numbers, wanted_numbers)
        assert buffer.mean() == wanted[name].mean()
    MessageHub.get_instance('reads_history').load_state_dict(checkpoint['message_hub'])


@needs_allow_list
def test_the_allow_list_is_gone_after_reading(mmengine_checkpoint):
    before = set(torch.serialization.get_safe_globals())
    load_checkpoint_file(str(mmengine_checkpoint))
    assert set(torch.serialization.get_safe_globals()) == before


@needs_allow_list
@pytest.mark.parametrize(
    'array',
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.eye(3)),
        np.array(['cat', 'dog']),
        np.array([True, False]),
        np.arange(3, dtype='>i4'),
        np.float64(2.5),
        np.int64(-7),
    ],
    ids=repr,
)
def test_numpy_values_come_back_equal(tmp_path, array):
    loaded = load_checkpoint_file(save(tmp_path / 'numpy.pth', dict(array=array)))['array']
    assert loaded.dtype == array.dtype.newbyteorder('=')
    np.testing.assert_array_equal(loaded, array)


@needs_allow_list
def test_arguments_paths_and_configs_of_other_trainings_are_read(tmp_path, monkeypatch):
    # A class of a package that is not here now.
    module = types.ModuleType('easydict')
    module.EasyDict = type('EasyDict', (dict,), dict(__module__='easydict'))
    monkeypatch.setitem(sys.modules, 'easydict', module)
    easy = module.EasyDict(lr=0.1)
    easy.lr = 0.1
    names = argparse.Namespace(lr=0.1, out=PurePosixPath('/a/b'), inner=argparse.Namespace(seed=3))
    path = save(
        tmp_path / 'args.pth',
        dict(
            model=dict(w=torch.ones(1)),
            args=names,
            simple=types.SimpleNamespace(epochs=7),
            path=Path('a') / 'b.pth',
            windows=PureWindowsPath('c:/data'),
            configs=[ConfigDict(a=ConfigDict(b=1)), AddictDict(a=AddictDict(b=1)), easy],
        ),
    )
    monkeypatch.delitem(sys.modules, 'easydict')
    loaded = load_checkpoint_file(path)
    assert (loaded['args'].lr, loaded['args'].inner.seed, loaded['args'].out) == (0.1, 3, '/a/b')
    assert loaded['simple'].epochs == 7 and loaded['path'] == 'a/b.pth'
    assert loaded['windows'].startswith('c:')
    assert [dict(config) for config in loaded['configs']] == [
        dict(a=dict(b=1)),
        dict(a=dict(b=1)),
        dict(lr=0.1),
    ]
    # They are nothing but what they hold.
    assert not isinstance(loaded['args'], argparse.Namespace)


@needs_allow_list
def test_code_among_arguments_is_refused(tmp_path):
    marker = tmp_path / 'marker'
    names = argparse.Namespace(hook=Call(os.system, f'touch {marker}'))
    assert 'system' in refusal(save(tmp_path / 'args.pth', dict(args=names)))
    assert not marker.exists()


@needs_allow_list
def test_code_beside_a_real_history_is_refused(tmp_path):
    marker = tmp_path / 'marker'
    hub = dict(
        log_scalars=dict(loss=HistoryBuffer([1.0], [1])), hook=Call(os.system, f'touch {marker}')
    )
    assert 'system' in refusal(save(tmp_path / 'hostile.pth', dict(message_hub=hub)))
    assert not marker.exists()


@pytest.mark.parametrize(
    'owner, name',
    [
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, '__subclasses__'),
        (HistoryBuffer, 'register_statistics'),
        (np.ndarray, 'tofile'),
        (torch.Tensor, 'storage'),
        (HistoryBuffer([1.0], [1]), '__class__'),
    ],
)
def test_getattr_reaches_nothing_but_statistics_methods(tmp_path, owner, name):
    path = save(tmp_path / 'hostile.pth', dict(reached=Call(getattr, owner, name)))
    assert 'builtins.getattr' in refusal(path)


@needs_allow_list
def test_a_file_cannot_replace_the_statistics_of_other_buffers(tmp_path):
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    buffer._statistics_methods = dict(mean=HistoryBuffer.max)
    load_checkpoint_file(save(tmp_path / 'poisoned.pth', dict(buffer=buffer)))
    assert HistoryBuffer([1.0, 3.0], [1, 1]).statistics('mean') == 2.0


@needs_allow_list
def test_an_array_of_objects_is_refused(tmp_path):
    assert 'numpy.dtype' in refusal(
        save(tmp_path / 'objects.pth', dict(a=np.array([1, None], dtype=object)))
    )


@pytest.mark.parametrize('kept', [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(mmengine_checkpoint, tmp_path, kept):
    data = mmengine_checkpoint.read_bytes()
    path = tmp_path / 'truncated.pth'
    path.write_bytes(data[: int(len(data) * kept)])
    assert 'truncated' in refusal(path)
