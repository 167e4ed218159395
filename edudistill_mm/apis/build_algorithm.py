import torch

from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.data import check_data
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.algorithms import EducationDistill
from edudistill_mm.models.network import build_module


def build_algorithm(run: RunConfig) -> EducationDistill:
    """Check the config of an education, and build the algorithm with its trained teachers.

    It is on the device on which a training would be.

    Raises:
        ConfigurationError: There is a mistake in the config, or a checkpoint is missing.
    """
    _ = run.curriculum  # refuses a config that is not of an education
    check_config(run)
    check_data(run)
    check_classes(run)
    for teacher in run.missing_teachers:
        raise ConfigurationError(
            f'the checkpoint "{teacher["ckpt"]}" of teacher "{teacher["name"]}" does not exist'
        )
    model = run.cfg.model.to_dict()
    if run.cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', run.cfg.data_preprocessor.to_dict())
    algorithm = build_module(model, 'model', 'mmpretrain')
    return algorithm.to('cuda' if torch.cuda.is_available() else 'cpu')
