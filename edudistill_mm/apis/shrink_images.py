"""Copy a data set of files with smaller images, which are decoded faster."""

import os
import os.path as osp
import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from tqdm import tqdm

from edudistill_mm.errors import ConfigurationError, reason_of

SUFFIXES = ('.jpg', '.jpeg', '.png')
# Images are decoded and encoded outside Python's lock.
THREADS = 8
QUALITY = 95


def shrink_images(folder: str, target: str, short_side: int) -> int:
    """Copy a folder, and shrink its images to a short side of so many pixels; once.

    JPEG files stay such, with a quality of 95. Smaller images, and files that are no images, are
    copied as they are. The copy is made aside, so that ``target`` is always complete.

    Args:
        folder (str): The folder, with folders in it.
        target (str): The copy.
        short_side (int): The length of the shorter side in pixels.

    Returns:
        int: How many images have been shrunk; 0 if ``target`` was there.

    Raises:
        ConfigurationError: If an image cannot be read or the copy cannot be written.
    """
    if osp.isdir(target):
        return 0
    aside = f'{target}.part'
    shutil.rmtree(aside, ignore_errors=True)
    names = [
        osp.relpath(osp.join(root, name), folder)
        for root, _, files in os.walk(folder)
        for name in sorted(files)
    ]

    def copy(name: str) -> bool:
        source, copied = osp.join(folder, name), osp.join(aside, name)
        os.makedirs(osp.dirname(copied), exist_ok=True)
        return _shrink(source, copied, short_side)

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            shrunk = sum(tqdm(pool.map(copy, names), total=len(names), unit=' files'))
        os.replace(aside, target)
    except OSError as error:
        raise ConfigurationError(f'"{target}" cannot be written: {reason_of(error)}') from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return shrunk


def _shrink(source: str, copied: str, short_side: int) -> bool:
    """Copy one file; True if it is an image that has been shrunk."""
    if not source.lower().endswith(SUFFIXES):
        shutil.copyfile(source, copied)
        return False
    # Colours, depth and transparency as they are; a JPEG file is turned as its EXIF data say, which
    # the copy does not have, and which MMCV follows.
    png = source.lower().endswith('.png')
    flags = cv2.IMREAD_UNCHANGED if png else cv2.IMREAD_ANYCOLOR
    image = cv2.imdecode(np.fromfile(source, np.uint8), flags)
    if image is None:
        raise ConfigurationError(f'the image "{source}" cannot be read')
    factor = short_side / min(image.shape[:2])
    if factor >= 1:
        shutil.copyfile(source, copied)
        return False
    height, width = (max(round(length * factor), short_side) for length in image.shape[:2])
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(
        osp.splitext(source)[1], smaller, [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    encoded.tofile(copied)
    return True
