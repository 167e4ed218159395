import os

import pytest
from mmengine.fileio import get_file_backend

import edudistill_mm.engine  # noqa: F401  registers the backend


@pytest.fixture
def backend():
    return get_file_backend(backend_args=dict(backend='safe_local'))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_removed_when_the_next_one_is_in_place(tmp_path, backend):
    backend.put(b'one', tmp_path / 'one')
    backend.remove(tmp_path / 'one')
    assert names(tmp_path) == ['one']
    get_file_backend(backend_args=dict(backend='safe_local')).put(b'two', tmp_path / 'two')
    assert names(tmp_path) == ['two'] and (tmp_path / 'two').read_bytes() == b'two'


def test_a_file_that_takes_the_place_of_a_removed_one_stays(tmp_path, backend):
    backend.put(b'old', tmp_path / 'best')
    backend.remove(tmp_path / 'best')
    backend.put(b'new', tmp_path / 'best')
    backend.put(b'other', tmp_path / 'other')
    assert (tmp_path / 'best').read_bytes() == b'new'


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, backend, monkeypatch):
    backend.put(b'old', tmp_path / 'last')
    backend.put(b'older', tmp_path / 'first')
    backend.remove(tmp_path / 'first')

    def full(_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        with pytest.raises(OSError, match='No space left'):
            backend.put(b'new', tmp_path / 'last')
    assert names(tmp_path) == ['first', 'last']
    assert (tmp_path / 'last').read_bytes() == b'old'
    backend.put(b'new', tmp_path / 'last')
    assert names(tmp_path) == ['last']
