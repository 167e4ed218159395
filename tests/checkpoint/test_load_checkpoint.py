import os
import pickle

import pytest
import torch
from checkpoint_files import Call, refusal, save

from edudistill_mm.checkpoint.load import load_checkpoint_file


def test_tensors_and_plain_values_are_read(tmp_path):
    path = save(
        tmp_path / 'plain.pth', dict(state_dict=dict(w=torch.arange(3.0)), meta=dict(epoch=3))
    )
    checkpoint = load_checkpoint_file(path)
    assert checkpoint['meta'] == dict(epoch=3)
    assert torch.equal(checkpoint['state_dict']['w'], torch.arange(3.0))


@pytest.mark.parametrize(
    'name, function',
    [('system', os.system), ('builtins.eval', eval), ('builtins.exec', exec), ('open', open)],
)
def test_a_file_that_runs_code_is_refused_and_names_the_global(tmp_path, name, function):
    marker = tmp_path / 'marker'
    argument = {
        os.system: f'touch {marker}',
        open: str(marker),
        eval: f'open({str(marker)!r}, "w")',
        exec: f'open({str(marker)!r}, "w")',
    }[function]
    call = Call(function, argument, 'w') if function is open else Call(function, argument)
    path = save(tmp_path / 'hostile.pth', dict(state_dict=dict(w=torch.zeros(1)), meta=call))
    assert name in refusal(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), 'the file is not hostile at all'


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_bare_hostile_pickle_is_refused(tmp_path, protocol):
    marker = tmp_path / 'marker'
    path = tmp_path / 'bare.pth'
    path.write_bytes(pickle.dumps(Call(os.system, f'touch {marker}'), protocol=protocol))
    refusal(path)
    assert not marker.exists()


def test_tensors_of_all_types_are_read(tmp_path):
    types = [
        torch.float64, torch.float32, torch.float16, torch.bfloat16,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
        torch.complex64, torch.complex128,
    ]  # fmt: skip
    # torch.save learned the types of 8 bits together with uint16.
    types += [torch.float8_e5m2] if hasattr(torch, 'uint16') else []
    tensors = {str(kind): torch.arange(6).to(kind)[1:4] for kind in types}
    if hasattr(torch.serialization, 'safe_globals'):
        tensors['quantised'] = torch.quantize_per_tensor(torch.ones(3), 0.5, 1, torch.qint8)
    tensors['sparse'] = torch.eye(3).to_sparse()
    tensors['parameter'] = torch.nn.Parameter(torch.ones(2))
    loaded = load_checkpoint_file(save(tmp_path / 'types.pth', tensors))
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        if name != 'quantised':
            tensor, back = (
                x.detach().to_dense().to(torch.complex128) for x in (tensor, loaded[name])
            )
            assert torch.equal(tensor, back), name


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    (tmp_path / 'empty.pth').touch()
    (tmp_path / 'text.pth').write_text('checkpoints of mine\nare elsewhere\n')
    assert 'empty' in refusal(tmp_path / 'empty.pth')
    assert 'not a file of torch.save' in refusal(tmp_path / 'text.pth')
    assert 'is a directory' in refusal(tmp_path)
    assert 'does not exist' in refusal(tmp_path / 'missing.pth')
    assert 'holds a list' in refusal(save(tmp_path / 'list.pth', [1, 2]))
