import functools
import http.server
import multiprocessing
import os
import threading
from pathlib import Path

import pytest
import torch
from checkpoint_files import save

from edudistill_mm.checkpoint.download import resolve_checkpoint
from edudistill_mm.checkpoint.files import file_sha256
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.errors import ConfigurationError


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
