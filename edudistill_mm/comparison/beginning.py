"""What a run refuses at its start, found without training."""

import contextlib
import copy
import io
import os.path as osp
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config

from edudistill_mm.apis.train import prepare_runtime, train
from edudistill_mm.config.education import is_missing, teachers_of
from edudistill_mm.config.networks import untrained_network


def check_beginning(cfg: Config) -> None:
    """Do all that a run does before its first step, in a folder that is removed.

    Teachers that are to be trained first are stood in for by untrained ones. If there are none,
    the teachers are tested.

    Args:
        cfg (Config): What :func:`load_config` returned.

    Raises:
        ConfigurationError: For the mistake at which the run would end.
    """
    cfg = copy.deepcopy(cfg)
    with TemporaryDirectory() as folder:
        complete = True
        for index, teacher in enumerate(teachers_of(cfg)):
            if not is_missing(teacher):
                continue
            complete, key = False, f'teachers[{index}].architecture'
            file = osp.join(folder, f'teacher{index}.pth')
            network = untrained_network(teacher['architecture'], key)
            torch.save(dict(state_dict=network.state_dict()), file)
            if cfg.model.get('teacher') is not None:
                cfg.model.teacher_ckpt = file
            else:
                cfg.model.teachers[index].ckpt = file
        cfg.work_dir = osp.join(folder, 'run')
        # The log, which a run begins with its environment and its config.
        with contextlib.redirect_stdout(io.StringIO()):
            prepare_runtime(cfg)
            train(cfg, with_teacher_test=complete, only_begin=True)
