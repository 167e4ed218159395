from .caltech256 import Caltech256
from .class_subset import ClassSubset
from .digits import Digits
from .food101_subset import Food101Subset
from .hold_out import HoldOut
from .image_folder import ImageFolder
from .resident import ResidentDataset, whole_batch
from .samplers import GradeSampler
from .source import SOURCES, Source
from .stacked_batch import stacked_batch
from .subset import Subset
from .tiny_imagenet import TinyImageNet

__all__ = [
    'SOURCES',
    'Caltech256',
    'ClassSubset',
    'Digits',
    'Food101Subset',
    'GradeSampler',
    'HoldOut',
    'ImageFolder',
    'ResidentDataset',
    'Source',
    'Subset',
    'TinyImageNet',
    'stacked_batch',
    'whole_batch',
]
