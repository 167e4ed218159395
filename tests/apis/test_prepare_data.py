"""Downloads from a server on this machine, and archives that must not be trusted."""

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from run_tool import run_tool

from edudistill_mm.apis import prepare_data
from edudistill_mm.apis.prepare_data import unpack
from edudistill_mm.datasets import SOURCES, Source
from edudistill_mm.errors import ConfigurationError


def archive(kind, **files):
    """Bytes of an archive with the given files."""
    buffer = io.BytesIO()
    if kind == 'zip':
        with zipfile.ZipFile(buffer, 'w') as out:
            for name, content in files.items():
                out.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode='w:gz') as out:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.content``; knows byte ranges if ``server.ranges``; the first
    ``server.cuts`` answers break off in the middle."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get('Range')
        server.asked.append(asked)
        if self.path == '/missing':
            self.send_error(404)
            return
        begin = int(asked.split('=')[1].rstrip('-')) if asked and server.ranges else 0
        if asked and server.ranges and begin >= len(server.content):
            self.send_error(416)
            return
        body = server.content[begin:]
        self.send_response(206 if asked and server.ranges else 200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if server.cuts:
            server.cuts -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def unpacks():
    if not hasattr(tarfile, 'data_filter'):
        pytest.skip('this Python cannot unpack archives safely')


@pytest.fixture
def server():
    served = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    served.content, served.ranges, served.cuts, served.asked = b'', True, 0, []
    served.url = f'http://127.0.0.1:{served.server_port}/set.tar.gz'
    thread = threading.Thread(target=partial(served.serve_forever, poll_interval=0.01))
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture
def offer(server, monkeypatch, unpacks):
    """Make an archive the official one of a data set 'toy', and serve it."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)

    def make(content, md5=None):
        server.content = content
        md5 = md5 or hashlib.md5(content).hexdigest()
        monkeypatch.setitem(SOURCES, 'toy', Source('toy', server.url, md5, 'toy-1'))

    return make


# Bytes that gzip cannot shorten.
IMAGE = os.urandom(300_000)


@pytest.mark.parametrize('kind', ['tar', 'zip'])
def test_an_archive_is_downloaded_checked_unpacked_and_removed(server, offer, tmp_path, kind):
    offer(archive(kind, **{'toy-1/a/1.jpg': IMAGE, 'other/notes': b'x'}))
    folder = prepare_data('toy', str(tmp_path))
    assert folder == str(tmp_path / 'toy' / 'toy-1')
    assert (tmp_path / 'toy' / 'toy-1' / 'a' / '1.jpg').read_bytes() == IMAGE
    assert [path.name for path in (tmp_path / 'toy').iterdir()] == ['toy-1']


def test_what_is_there_is_not_downloaded_again(server, offer, tmp_path):
    offer(archive('tar', **{'toy-1/1': b'x'}))
    prepare_data('toy', str(tmp_path))
    prepare_data('toy', str(tmp_path))
    assert server.asked == [None]


def test_a_broken_connection_is_continued_from_where_it_was(server, offer, tmp_path):
    offer(archive('tar', **{'toy-1/1.jpg': IMAGE}))
    server.cuts = 2
    prepare_data('toy', str(tmp_path))
    half = len(server.content) // 2
    rest = (len(server.content) - half) // 2
    assert server.asked == [None, f'bytes={half}-', f'bytes={half + rest}-']
    assert (tmp_path / 'toy' / 'toy-1' / '1.jpg').read_bytes() == IMAGE


def test_a_download_of_an_earlier_call_is_continued(server, offer, tmp_path):
    offer(archive('tar', **{'toy-1/1.jpg': IMAGE}))
    server.cuts = 100
    with pytest.raises(ConfigurationError, match='the connection broke .* goes on from them'):
        prepare_data('toy', str(tmp_path))
    server.cuts, server.asked[:] = 0, []
    prepare_data('toy', str(tmp_path))
    assert len(server.asked) == 1 and server.asked[0].startswith('bytes=')
    assert (tmp_path / 'toy' / 'toy-1' / '1.jpg').read_bytes() == IMAGE


@pytest.mark.parametrize('ranges', [True, False])
def test_a_complete_partial_file_is_taken_or_replaced(server, offer, tmp_path, ranges):
    offer(archive('tar', **{'toy-1/1.jpg': IMAGE}))
    server.ranges = ranges
    (tmp_path / 'toy').mkdir()
    (tmp_path / 'toy' / 'set.tar.gz.part').write_bytes(server.content)
    prepare_data('toy', str(tmp_path))
    assert (tmp_path / 'toy' / 'toy-1' / '1.jpg').read_bytes() == IMAGE


def test_a_server_without_ranges_sends_it_all_again(server, offer, tmp_path):
    offer(archive('tar', **{'toy-1/1.jpg': IMAGE}))
    server.ranges, server.cuts = False, 1
    prepare_data('toy', str(tmp_path))
    assert (tmp_path / 'toy' / 'toy-1' / '1.jpg').read_bytes() == IMAGE


def test_a_wrong_checksum_is_refused_and_the_file_deleted(server, offer, tmp_path):
    offer(archive('tar', **{'toy-1/1.jpg': IMAGE}), md5='0' * 32)
    with pytest.raises(ConfigurationError, match='is not the archive of toy'):
        prepare_data('toy', str(tmp_path))
    assert not list((tmp_path / 'toy').iterdir())


def test_an_archive_that_lies_there_already_is_checked_too(server, offer, tmp_path):
    offer(archive('tar', **{'toy-1/1.jpg': IMAGE}))
    (tmp_path / 'toy').mkdir()
    (tmp_path / 'toy' / 'set.tar.gz').write_bytes(b'something else')
    with pytest.raises(ConfigurationError, match='"[^"]*set.tar.gz" is not the archive of toy'):
        prepare_data('toy', str(tmp_path))
    (tmp_path / 'toy' / 'set.tar.gz').write_bytes(server.content)
    prepare_data('toy', str(tmp_path))
    assert server.asked == []


def test_a_mirror_that_does_not_have_it_is_one_sentence_at_once(server, offer, tmp_path, capsys):
    offer(archive('tar', **{'toy-1/1': b'x'}))
    missing = server.url.replace('set.tar.gz', 'missing')
    with pytest.raises(SystemExit) as end:
        run_tool('prepare_data', ['toy', '--root', str(tmp_path), '--url', missing])
    assert end.value.code == 2
    assert f'error: "{missing}" cannot be downloaded: HTTP Error 404' in capsys.readouterr().err
    assert len(server.asked) == 1


def test_a_python_that_cannot_unpack_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, 'data_filter', raising=False)
    with pytest.raises(
        ConfigurationError, match='cannot unpack archives safely.*or unpack .* yourself'
    ):
        prepare_data('cifar100', str(tmp_path), url='http://127.0.0.1:9/cifar-100-python.tar.gz')
    assert not list(tmp_path.iterdir())


def test_an_unknown_data_set_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r'"fod101" \(did you mean "food101"\?\)'):
        prepare_data('fod101')


def tar_of(info, content=b''):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as out:
        info.size = len(content)
        out.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link(name, target):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as out:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o120777 << 16
        out.writestr(info, target)
    return buffer.getvalue()


HOSTILE = {
    'tar, parent folder': archive('tar', **{'toy-1/../../out': b'x'}),
    'tar, absolute': lambda out: archive('tar', **{str(out): b'x'}),
    'tar, symbolic link': tar_of(link('toy-1/a', '../../out', tarfile.SYMTYPE)),
    'tar, absolute symbolic link': lambda out: tar_of(link('a', str(out), tarfile.SYMTYPE)),
    'tar, hard link': tar_of(link('toy-1/a', '../out', tarfile.LNKTYPE)),
    'tar, device': tar_of(link('toy-1/a', '', tarfile.CHRTYPE)),
    'zip, parent folder': archive('zip', **{'toy-1/../../out': b'x'}),
    'zip, parent folder of Windows': archive('zip', **{'toy-1\\..\\..\\out': b'x'}),
    'zip, absolute': lambda out: archive('zip', **{str(out): b'x'}),
    'zip, symbolic link': zip_link('toy-1/a', '../../out'),
}


@pytest.mark.parametrize('how', HOSTILE)
def test_an_archive_that_leaves_its_folder_is_refused(server, offer, tmp_path, how):
    out = tmp_path / 'out'
    content = HOSTILE[how]
    offer(content(out) if callable(content) else content)
    with pytest.raises(ConfigurationError, match='outside|cannot be unpacked'):
        prepare_data('toy', str(tmp_path / 'root'))
    assert not out.exists() and not (tmp_path / 'root' / 'out').exists()
    assert [path.name for path in (tmp_path / 'root' / 'toy').iterdir()] == ['set.tar.gz']


@pytest.mark.usefixtures('unpacks')
@pytest.mark.parametrize('kind', ['tar', 'zip'])
def test_a_truncated_archive_is_one_sentence(tmp_path, kind):
    content = archive(kind, **{'toy-1/1.jpg': IMAGE})
    (tmp_path / 'broken').write_bytes(content[:-1000])
    with pytest.raises(ConfigurationError, match='cannot be unpacked'):
        unpack(str(tmp_path / 'broken'), str(tmp_path / 'folder'))


def test_the_checksums_are_those_of_the_libraries_that_publish_them():
    from torchvision import datasets

    assert SOURCES['cifar100'].md5 == datasets.CIFAR100.tgz_md5
    assert SOURCES['food101'].md5 == datasets.Food101._MD5
    assert SOURCES['caltech256'].md5 in datasets.Caltech256.download.__code__.co_consts
