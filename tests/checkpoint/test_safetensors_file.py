import struct
import sys

import pytest
import torch
from checkpoint_files import refusal

from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.weights import extract_state_dict


def test_a_file_of_safetensors_is_read(tmp_path):
    torch_files = pytest.importorskip('safetensors.torch')
    tensors = {
        'fc.weight': torch.randn(2, 3),
        'fc.bias': torch.randn(2).to(torch.bfloat16),
        'steps': torch.tensor(7),
    }
    # By its content, whatever it is called.
    for name in ('model.safetensors', 'model.bin'):
        path = str(tmp_path / name)
        torch_files.save_file(tensors, path, metadata=dict(format='pt'))
        state = extract_state_dict(load_checkpoint_file(path))
        assert state.keys() == tensors.keys()
        assert all(torch.equal(state[key], tensors[key]) for key in tensors)


def header(text, length=None):
    return struct.pack('<Q', len(text) if length is None else length) + text


@pytest.mark.parametrize(
    'content',
    [
        b'x',
        header(b''),
        header(b'{}', 2**62),
        header(b'{"w":', 99999),
        header(b'[1]'),
        header(b'{"w": 3}'),
        header(b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
        header(b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,16]}}') + bytes(16),
        header(b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,-1]}}') + bytes(16),
        header(b'{"w":{"dtype":"PYOBJECT","shape":[4],"data_offsets":[0,16]}}') + bytes(16),
        header(
            b'{"w":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,16]}}'
        )
        + bytes(16),
    ],
)
def test_a_broken_file_of_safetensors_is_refused(tmp_path, content):
    pytest.importorskip('safetensors')
    (tmp_path / 'model.safetensors').write_bytes(content)
    assert 'truncated or damaged' in refusal(tmp_path / 'model.safetensors')


def test_without_its_package_a_file_of_safetensors_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    (tmp_path / 'model.safetensors').write_bytes(header(b'{}'))
    assert 'pip install safetensors' in refusal(tmp_path / 'model.safetensors')
