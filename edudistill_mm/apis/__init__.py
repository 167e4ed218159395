from .config import check_config, check_data, load_config, strip_teachers
from .convert_mdistiller import convert_mdistiller
from .curriculum_table import curriculum_table
from .export import export_student, plain_config
from .prepare_data import prepare_data
from .teachers import teacher_config, train_teachers
from .test import test
from .train import train

__all__ = [
    'check_config',
    'check_data',
    'convert_mdistiller',
    'curriculum_table',
    'export_student',
    'load_config',
    'plain_config',
    'prepare_data',
    'strip_teachers',
    'teacher_config',
    'test',
    'train',
    'train_teachers',
]
