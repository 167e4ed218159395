from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.data import check_data
from edudistill_mm.config.load import load_config
from edudistill_mm.cost.curriculum_table import curriculum_table
from edudistill_mm.export.export_student import export_student
from edudistill_mm.export.plain_config import plain_config

from .convert_mdistiller import convert_mdistiller
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
    'teacher_config',
    'test',
    'train',
    'train_teachers',
]
