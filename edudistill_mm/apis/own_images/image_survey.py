"""What there is in a folder of images."""

import os
import os.path as osp
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from mmengine.fileio import list_dir_or_file
from PIL import ExifTags, Image
from tqdm import tqdm

from edudistill_mm.checkpoint.files import file_sha256
from edudistill_mm.datasets import ImageFolder
from edudistill_mm.datasets.hold_out import check_share
from edudistill_mm.datasets.image_folder import EXTENSIONS
from edudistill_mm.errors import ConfigurationError, reason_of

TRAINING = ('train', 'training')
VALIDATION = ('val', 'valid', 'validation', 'test', 'testing')
# As OpenCV reads them; PIL, which also notices where a file ends too early, knows more.
FORMATS = ('JPEG', 'PNG', 'BMP', 'PPM', 'TIFF', 'WEBP')
GRAY = ('1', 'L', 'LA', 'I', 'I;16', 'F')
# EXIF orientations of photos that the loader turns by a quarter.
ON_THEIR_SIDE = range(5, 9)
# Images are decoded outside Python's lock.
THREADS = 8
SAMPLE = 500
# Width and height of an image, whether it is gray, and its file's SHA-256.
Look = tuple[tuple[int, int], bool, str]


@dataclass(frozen=True)
class ImageSurvey:
    """What there is in a folder of images.

    Args:
        root (str): The folder.
        train (str): The folder of the training images in it, '' for ``root`` itself.
        val (str | None): That of the validation images; None if a share is held out.
        test (str | None): That of the test images; None if they are those of the validation.
        images (dict[str, int]): How many training images each class has.
        sizes (tuple[tuple[int, int], ...]): Width and height of the images that were looked at,
            in pixels.
        gray (float): The share of them that is gray.
        damaged (dict[str, str]): Of files that cannot be read, by their paths from ``root``, the
            reason.
        leaks (dict[str, str]): Of files that equal one of the same class in another split, its path;
            where a share is held out, of all that equal another of their class, as the split may
            part them.
        two_classes (dict[str, str]): Of files that equal one of another class, its path.
        other_files (dict[str, int]): How many files of other kinds lie among the images, by their
            suffixes; hidden ones are not counted.
        unmeasured (dict[str, str]): Of classes without an image for validation or test, the folder
            where it lacks.
        without_classes (tuple[str, ...]): Folders of validation or test images that have no folders
            of classes, and so no labels.
    """

    root: str
    train: str
    val: str | None
    test: str | None
    images: dict[str, int]
    sizes: tuple[tuple[int, int], ...]
    gray: float
    damaged: dict[str, str]
    leaks: dict[str, str]
    two_classes: dict[str, str]
    other_files: dict[str, int]
    unmeasured: dict[str, str]
    without_classes: tuple[str, ...]

    @property
    def short_side(self) -> int:
        """int: The median of the shorter sides in pixels."""
        return int(median(map(min, self.sizes)))

    @property
    def one_size(self) -> tuple[int, int] | None:
        """tuple[int, int] | None: Width and height, if all images that were looked at have one."""
        return self.sizes[0] if len(set(self.sizes)) == 1 else None

    def count_training(self, val_share: float) -> int:
        """How many images are trained on, if a share of each class is held out where need be."""
        held_out = 0.0 if self.val is not None else val_share
        return sum(count - int(held_out * count + 0.5) for count in self.images.values())


def survey_images(root: str, look_at_all: bool = True) -> ImageSurvey:
    """See what there is in a folder of images.

    Args:
        root (str): A folder with a folder of images for each class, or with two or three folders of
            such, called as in :data:`TRAINING` and :data:`VALIDATION`, in any case.
        look_at_all (bool): Whether to decode every image and look for files that are equal,
            instead of decoding about 500. Defaults to True.

    Returns:
        ImageSurvey: What there is.

    Raises:
        ConfigurationError: There is no such folder, or no images of two classes in it.
    """
    if not osp.isdir(root):
        raise ConfigurationError(f'--data "{root}" is no folder')
    train, val, test, without_classes = _splits(root)
    sets = {part: _images(root, part, train) for part in (train, val, test) if part is not None}
    files = [path for images in sets.values() for path in images]
    chosen = files if look_at_all else files[:: len(files) // SAMPLE + 1]
    with ThreadPoolExecutor(THREADS) as pool:
        looks = pool.map(_look, [osp.join(root, path) for path in chosen])
        seen = dict(zip(chosen, tqdm(looks, total=len(chosen), unit=' images', disable=None)))
    damaged = {path: look for path, look in seen.items() if isinstance(look, str)}
    good = [look for look in seen.values() if not isinstance(look, str)]
    counts: Counter[str] = Counter({name: 0 for name in sets[train].values()})
    counts.update(name for path, name in sets[train].items() if path not in damaged)
    empty = next((name for name, count in counts.items() if not count), None)
    if empty is not None:
        raise ConfigurationError(f'none of the training images of class "{empty}" can be read')
    unmeasured = {
        name: part
        for part in (test, val)
        if part is not None
        for name in counts
        if name not in {sets[part][path] for path in sets[part] if path not in damaged}
    }
    part_of = {path: part for part, images in sets.items() for path in images}
    class_of = {path: name for images in sets.values() for path, name in images.items()}
    copies = _copies(seen) if look_at_all else {}
    two_classes = {
        path: other for path, other in copies.items() if class_of[path] != class_of[other]
    }
    leaks = {
        path: other
        for path, other in copies.items()
        if path not in two_classes and (val is None or part_of[path] != part_of[other])
    }
    return ImageSurvey(
        root,
        train,
        val,
        test,
        dict(counts),
        tuple(size for size, _, _ in good),
        sum(gray for _, gray, _ in good) / len(good),
        damaged,
        leaks,
        two_classes,
        _other_files(root, sets),
        unmeasured,
        without_classes,
    )


def check_hold_out(survey: ImageSurvey, share: float) -> None:
    """Raise ConfigurationError if a share of a class is none of its images, or all of them."""
    check_share(share, 0, 'of --val-share')
    fewest = min(survey.images, key=survey.images.__getitem__)
    count = survey.images[fewest]
    if not 0 < int(share * count + 0.5) < count:
        raise ConfigurationError(
            f'class "{fewest}" has {count} image{"s" if count > 1 else ""}, which --val-share {share} '
            f'cannot split into images for training and for validation: add images, take its folder '
            f'away, or make folders train and val yourself'
        )


def _splits(root: str) -> tuple[str, str | None, str | None, tuple[str, ...]]:
    """The folders of training, validation and test, and those of the latter that have no classes.

    Of one folder of classes they are '', None, None and ().
    """
    folders = {entry.name.lower(): entry.name for entry in os.scandir(root) if entry.is_dir()}
    train = next((folders[name] for name in TRAINING if name in folders), None)
    others = [folders[name] for name in VALIDATION if name in folders]
    if train is not None and not others and not _has_folders(root, train):
        train = None  # a class that is called so, as buses and cars are
    if train is None:
        if others and len(others) == len(folders):
            raise ConfigurationError(
                f'"{root}" has a folder "{others[0]}" but none of training images, which must be called '
                f'"{TRAINING[0]}"'
            )
        return '', None, None, ()
    with_classes = [name for name in others if _has_folders(root, name)]
    val, test = [*with_classes, None, None][:2]
    return train, val, test, tuple(name for name in others if name not in with_classes)


def _has_folders(root: str, folder: str) -> bool:
    with os.scandir(osp.join(root, folder)) as entries:
        return any(entry.is_dir() for entry in entries)


def _other_files(root: str, parts: Iterable[str]) -> dict[str, int]:
    """How many files of the splits are not read, by their suffixes."""
    suffixes: Counter[str] = Counter()
    for part in parts:
        for name in list_dir_or_file(osp.join(root, part), list_dir=False, recursive=True):
            suffixes[osp.splitext(name)[1].lower()] += not name.lower().endswith(EXTENSIONS)
    return {suffix or 'without suffix': count for suffix, count in suffixes.items() if count}


def _images(root: str, part: str, train: str) -> dict[str, str]:
    """The class of each image of a split, by the image's path from the root."""
    dataset = ImageFolder(root, part, numbered_by=train, lazy_init=True)
    names = dataset.metainfo['classes']
    if len(names) < 2:
        raise ConfigurationError(
            f'"{osp.join(root, train)}" has one folder with images, "{names[0]}", but each class needs a '
            f'folder, and there must be two or more; if its folders are the classes, name it by --data'
        )
    dataset.full_init()
    infos: Iterable[dict] = map(dataset.get_data_info, range(len(dataset)))
    return {
        osp.relpath(info['img_path'], root).replace(osp.sep, '/'): names[info['gt_label']]
        for info in infos
    }


def _look(path: str) -> Look | str:
    """Look at an image; if it is damaged, return the reason."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            size, gray = image.size, image.mode in GRAY
            if image.getexif().get(ExifTags.Base.Orientation, 1) in ON_THEIR_SIDE:
                size = size[::-1]
            # JPEG files need not be decoded at full size.
            image.draft('RGB', (1, 1))
            image.load()
        return size, gray, file_sha256(path)
    except Exception as error:  # PIL's readers fail in all ways
        kind = 'it is empty' if osp.getsize(path) == 0 else reason_of(error).replace(path, 'file')
        return f'{kind} ({type(error).__name__})'


def _copies(seen: dict[str, Look | str]) -> dict[str, str]:
    """For each file that is equal to one before it, the first of its kind."""
    first: dict[str, str] = {}
    digests = {path: look[-1] for path, look in seen.items() if not isinstance(look, str)}
    return {
        path: first[digest]
        for path, digest in digests.items()
        if first.setdefault(digest, path) != path
    }
