import cv2
import mmcv
import numpy as np
import pytest
from mmengine.fileio import list_dir_or_file
from PIL import Image
from run_tool import run_tool

from edudistill_mm.apis.shrink_images import shrink_images
from edudistill_mm.errors import ConfigurationError


def write(path, height, width, gray=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:height, :width]
    image = np.stack([y * 200 // height, x * 200 // width, (x + y) % 7 * 9], 2).astype(np.uint8)
    cv2.imwrite(str(path), image[..., 0] if gray else image)
    return image


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'set'
    write(root / 'images' / 'a' / '1.jpg', 96, 64)
    write(root / 'images' / 'a' / '2.JPG', 50, 200)
    write(root / 'images' / 'b' / '3.jpg', 20, 31)
    write(root / 'images' / 'b' / '4.png', 80, 80, gray=True)
    (root / 'meta').mkdir()
    (root / 'meta' / 'train.txt').write_text('a/1\n')
    return root


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_images_are_shrunk_to_their_short_side_and_all_else_is_copied(folder, tmp_path):
    target = tmp_path / 'small'
    assert shrink_images(str(folder), str(target), 32) == 3
    images = target / 'images'
    assert read(images / 'a' / '1.jpg').shape == (48, 32, 3)
    assert read(images / 'a' / '2.JPG').shape == (32, 128, 3)
    assert read(images / 'b' / '4.png').shape == (32, 32)
    for same in ('images/b/3.jpg', 'meta/train.txt'):
        assert (target / same).read_bytes() == (folder / same).read_bytes()
    whole, small = (read(root / 'images' / 'a' / '1.jpg') for root in (folder, target))
    means = whole.reshape(48, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(means - small).mean() < 4
    assert sorted(list_dir_or_file(str(target))) == sorted(list_dir_or_file(str(folder)))


def test_a_photograph_that_was_taken_turned_is_loaded_the_same_way_up(tmp_path):
    (tmp_path / 'set').mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    y, x = np.mgrid[:40, :80]
    Image.fromarray((y + 2 * x).astype(np.uint8)).save(tmp_path / 'set' / '1.jpg', exif=exif)
    shrink_images(str(tmp_path / 'set'), str(tmp_path / 'small'), 20)
    whole, small = (mmcv.imread(str(tmp_path / name / '1.jpg')) for name in ('set', 'small'))
    assert whole.shape == (80, 40, 3) and small.shape == (40, 20, 3)
    means = whole.reshape(40, 2, 20, 2, 3).mean((1, 3))
    assert np.abs(means - small).mean() < 4


def test_a_copy_that_is_there_is_kept(folder, tmp_path):
    target = tmp_path / 'small'
    shrink_images(str(folder), str(target), 32)
    (target / 'meta' / 'train.txt').unlink()
    assert shrink_images(str(folder), str(target), 32) == 0
    assert not (target / 'meta' / 'train.txt').exists()


def test_a_broken_image_is_named_and_leaves_no_copy(folder, tmp_path):
    (folder / 'images' / 'a' / '1.jpg').write_bytes(b'nothing')
    with pytest.raises(ConfigurationError, match=r'images/a/1\.jpg" cannot be read'):
        shrink_images(str(folder), str(tmp_path / 'small'), 32)
    assert [path.name for path in tmp_path.iterdir()] == ['set']


def test_the_tool_shrinks_a_data_set_that_is_there(tmp_path, capsys):
    root = tmp_path / 'data'
    write(root / 'caltech256' / '256_ObjectCategories' / '001.ak47' / '001_0001.jpg', 90, 60)
    run_tool('prepare_data', ['caltech256', '--root', str(root), '--short-side', '40'])
    small = root / 'caltech256-40' / '256_ObjectCategories'
    assert str(small) in capsys.readouterr().out
    assert read(small / '001.ak47' / '001_0001.jpg').shape == (60, 40, 3)


def test_the_tool_refuses_a_side_of_no_pixels(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run_tool('prepare_data', ['food101', '--root', str(tmp_path), '--short-side', '0'])
    assert end.value.code == 2
    assert '--short-side must be a positive integer, but got 0' in capsys.readouterr().err
