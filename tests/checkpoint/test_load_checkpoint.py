import argparse
import functools
import http.server
import io
import multiprocessing
import os
import pickle
import shutil
import struct
import sys
import tarfile
import threading
import types
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
import torch
from addict import Dict as AddictDict
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from edudistill_mm.checkpoint.download import resolve_checkpoint
from edudistill_mm.checkpoint.files import file_sha256
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.weights import extract_state_dict
from edudistill_mm.engine.find_checkpoint import find_checkpoint_to_resume
from edudistill_mm.errors import ConfigurationError

needs_allow_list = pytest.mark.skipif(
    not hasattr(torch.serialization, 'safe_globals'),
    reason='this torch reads tensors and plain values only',
)


class Call:
    """Pickles to a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


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


def save(path: Path, value) -> str:
    torch.save(value, path)
    return str(path)


def refusal(path) -> str:
    with pytest.raises(ConfigurationError) as error:
        load_checkpoint_file(str(path))
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_tensors_and_plain_values_are_read(tmp_path):
    path = save(
        tmp_path / 'plain.pth', dict(state_dict=dict(w=torch.arange(3.0)), meta=dict(epoch=3))
    )
    checkpoint = load_checkpoint_file(path)
    assert checkpoint['meta'] == dict(epoch=3)
    assert torch.equal(checkpoint['state_dict']['w'], torch.arange(3.0))


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


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_bare_hostile_pickle_is_refused(tmp_path, protocol):
    marker = tmp_path / 'marker'
    path = tmp_path / 'bare.pth'
    path.write_bytes(pickle.dumps(Call(os.system, f'touch {marker}'), protocol=protocol))
    refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize('kept', [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(mmengine_checkpoint, tmp_path, kept):
    data = mmengine_checkpoint.read_bytes()
    path = tmp_path / 'truncated.pth'
    path.write_bytes(data[: int(len(data) * kept)])
    assert 'truncated' in refusal(path)


@pytest.mark.parametrize('claimed', [10, 200, 255])
def test_a_tensor_that_claims_more_than_its_record_is_refused(tmp_path, claimed):
    # A record of 255 numbers beside it belongs to nobody.
    save(tmp_path / 'plain.pth', dict(w=torch.zeros(9), other=torch.ones(255)))
    with (
        zipfile.ZipFile(tmp_path / 'plain.pth') as plain,
        zipfile.ZipFile(tmp_path / 'claims.pth', 'w') as claims,
    ):
        for name in plain.namelist():
            content = plain.read(name)
            if name.endswith('data.pkl'):
                assert content.count(b'K\x09') == 2, 'the size of the storage and of the tensor'
                content = content.replace(b'K\x09', b'K' + bytes([claimed]))
            claims.writestr(name, content)
    assert 'damaged' in refusal(tmp_path / 'claims.pth')


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


@pytest.mark.parametrize('first', ['storages', '\x80\x02'])
def test_a_tar_file_is_refused(tmp_path, first):
    marker = tmp_path / 'marker'
    hostile = pickle.dumps(Call(os.system, f'touch {marker}'), protocol=2)
    with tarfile.open(tmp_path / 'old.pth', 'w', encoding='latin-1') as file:
        for name in (first, 'storages', 'tensors', 'pickle'):
            member = tarfile.TarInfo(name)
            member.size = len(hostile)
            file.addfile(member, io.BytesIO(hostile))
    assert 'not a file of torch.save' in refusal(tmp_path / 'old.pth')
    assert not marker.exists()


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    (tmp_path / 'empty.pth').touch()
    (tmp_path / 'text.pth').write_text('checkpoints of mine\nare elsewhere\n')
    assert 'empty' in refusal(tmp_path / 'empty.pth')
    assert 'not a file of torch.save' in refusal(tmp_path / 'text.pth')
    assert 'is a directory' in refusal(tmp_path)
    assert 'does not exist' in refusal(tmp_path / 'missing.pth')
    assert 'holds a list' in refusal(save(tmp_path / 'list.pth', [1, 2]))


@pytest.mark.parametrize(
    'wrap',
    [
        lambda w: dict(state_dict=w, meta={}),
        lambda w: dict(model=w),
        lambda w: dict(model_state_dict=w, optimizer_state_dict=dict(state={})),
        lambda w: dict(net=w, acc=90.0, epoch=3),
        lambda w: w,
        lambda w: {f'module.{name}': value for name, value in w.items()},
    ],
)
def test_weights_are_found_where_code_bases_put_them(wrap):
    weights = dict(w=torch.ones(2), b=torch.zeros(1))
    found = extract_state_dict(wrap(weights))
    assert set(found) == {'w', 'b'} and found['w'] is weights['w']


@pytest.mark.parametrize(
    'checkpoint', [{}, dict(state_dict={}), dict(meta=dict(epoch=1)), dict(weights=3)]
)
def test_a_checkpoint_without_weights_is_an_error(checkpoint):
    with pytest.raises(ConfigurationError, match='no weights'):
        extract_state_dict(checkpoint)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves ``tmp_path/www`` on this machine; yields that folder and its URL."""
    folder = tmp_path / 'www'
    folder.mkdir()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    httpd = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    yield folder, f'http://127.0.0.1:{httpd.server_port}'
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_a_local_path_stays_as_it_is():
    assert resolve_checkpoint('some/teacher.pth') == 'some/teacher.pth'


def test_a_url_is_downloaded_once_and_its_hash_checked(server):
    folder, url = server
    save(folder / 'teacher.pth', dict(w=torch.ones(1)))
    name = f'teacher-{file_sha256(folder / "teacher.pth")[:8]}.pth'
    (folder / 'teacher.pth').rename(folder / name)
    path = resolve_checkpoint(f'{url}/{name}')
    assert os.path.basename(path) == name
    assert torch.equal(load_checkpoint_file(path)['w'], torch.ones(1))
    (folder / name).unlink()
    assert resolve_checkpoint(f'{url}/{name}') == path
    Path(path).write_bytes(b'something else')
    with pytest.raises(ConfigurationError, match='delete it'):
        resolve_checkpoint(f'{url}/{name}')


def test_processes_that_want_the_same_file_at_once_download_it_once(server, capfd):
    folder, url = server
    save(folder / 'teacher.pth', dict(w=torch.ones(100_000)))
    context = multiprocessing.get_context('fork')
    processes = [
        context.Process(target=resolve_checkpoint, args=(f'{url}/teacher.pth',)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert capfd.readouterr().err.count('GET /teacher.pth') == 1


def test_a_download_with_the_wrong_hash_is_refused_and_not_kept(server):
    folder, url = server
    save(folder / 'teacher-0123abcd.pth', dict(w=torch.ones(1)))
    with pytest.raises(ConfigurationError, match='0123abcd'):
        resolve_checkpoint(f'{url}/teacher-0123abcd.pth')
    assert os.listdir(os.path.join(torch.hub.get_dir(), 'checkpoints')) == []


def test_equal_file_names_of_two_urls_stay_apart(server):
    folder, url = server
    for expert in ('primary', 'middle'):
        (folder / expert).mkdir()
        save(folder / expert / 'latest.pth', dict(name=expert))
    paths = [resolve_checkpoint(f'{url}/{expert}/latest.pth') for expert in ('primary', 'middle')]
    assert [load_checkpoint_file(path)['name'] for path in paths] == ['primary', 'middle']


def test_what_cannot_be_downloaded_is_one_sentence(server):
    _, url = server
    with pytest.raises(ConfigurationError, match='404'):
        resolve_checkpoint(f'{url}/missing.pth')
    for source in (f'{url}/', 's3://bucket/teacher.pth'):
        with pytest.raises(ConfigurationError, match='neither a local path nor'):
            resolve_checkpoint(source)


@pytest.fixture
def run_folder(tmp_path):
    """A work dir with three checkpoints, written one after the other, and the name of the last."""
    for step in (1, 2, 10):
        save(tmp_path / f'epoch_{step}.pth', dict(meta=dict(epoch=step)))
        os.utime(tmp_path / f'epoch_{step}.pth', (step, step))
    save(tmp_path / 'best_accuracy_top1_epoch_2.pth', dict(meta={}))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    os.utime(tmp_path / 'last_checkpoint', (11, 11))
    return tmp_path


def resumable(folder, warnings=0):
    lines = []
    path = find_checkpoint_to_resume(str(folder), str(folder), 'epoch_{}.pth', lines.append)
    assert len(lines) == warnings and all('\n' not in line for line in lines), lines
    return path and os.path.basename(path)


def test_a_run_goes_on_from_the_checkpoint_that_it_names(run_folder):
    assert resumable(run_folder) == 'epoch_10.pth'
    (run_folder / 'last_checkpoint').write_text('epoch_2.pth')
    # epoch_10.pth is older than the name: left over from an earlier run.
    assert resumable(run_folder) == 'epoch_2.pth'


def test_a_run_killed_before_it_named_its_checkpoint_goes_on_from_it(run_folder):
    (run_folder / 'last_checkpoint').write_text('epoch_2.pth')
    os.utime(run_folder / 'last_checkpoint', (5, 5))
    assert resumable(run_folder) == 'epoch_10.pth'


@pytest.mark.parametrize('text', ['', 'nowhere/epoch_99.pth', '\x00\xff', '/'])
def test_a_name_that_is_none_falls_back_to_the_newest_checkpoint(run_folder, text):
    (run_folder / 'last_checkpoint').write_bytes(text.encode('latin-1'))
    assert resumable(run_folder, warnings=1) == 'epoch_10.pth'
    (run_folder / 'last_checkpoint').unlink()
    assert resumable(run_folder) == 'epoch_10.pth'


def test_damaged_checkpoints_are_passed_over_and_named(run_folder):
    os.truncate(run_folder / 'epoch_10.pth', 50)
    assert resumable(run_folder, warnings=1) == 'epoch_2.pth'
    (run_folder / 'epoch_2.pth').write_bytes(b'')
    assert resumable(run_folder, warnings=2) == 'epoch_1.pth'
    (run_folder / 'epoch_1.pth').unlink()
    with pytest.raises(ConfigurationError, match='epoch_10.pth'):
        resumable(run_folder, warnings=2)


def test_a_checkpoint_that_wants_to_run_code_is_passed_over(run_folder):
    marker = run_folder / 'marker'
    save(run_folder / 'epoch_10.pth', dict(meta=Call(os.system, f'touch {marker}')))
    assert resumable(run_folder, warnings=1) == 'epoch_2.pth' and not marker.exists()


def test_a_moved_run_is_found_where_it_is(run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp('moved') / 'run'
    shutil.copytree(run_folder, folder)
    path = find_checkpoint_to_resume(str(folder), str(folder), 'epoch_{}.pth', print)
    assert path == str(folder / 'epoch_10.pth')


def test_without_any_checkpoint_there_is_none_to_resume(tmp_path):
    assert resumable(tmp_path) is None and resumable(tmp_path / 'missing') is None
    save(tmp_path / 'best_epoch_2.pth', {})
    assert resumable(tmp_path) is None


def test_a_tensor_that_is_marked_as_a_folder_is_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(4))), path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        names = [record.filename for record in archive.infolist()]
    entry = -1
    for _ in range(names.index('weights/data/0') + 1):
        entry = data.index(b'PK\x01\x02', entry + 1)
    data[entry + 38] ^= 0x10  # the attributes in the archive's directory have no checksum
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match='cannot be read'):
        load_checkpoint_file(str(path))
