import io
import os
import pickle
import tarfile
import zipfile

import pytest
import torch
from checkpoint_files import Call, refusal, save

from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.errors import ConfigurationError


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
