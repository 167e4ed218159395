"""What a run refuses at its start, found without training."""

import contextlib
import copy
import io
import os.path as osp
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config

from edudistill_mm.apis.train import prepare_runtime, train
from edudistill_mm.config.networks import untrained_network
from edudistill_mm.config.parts import is_missing
from edudistill_mm.config.run_config import RunConfig


def check_beginning(run: RunConfig) -> None:
    """Do all that a run does before its first step, in a temporary folder; raise what ends it.

    Untrained networks stand in for teachers that are to be trained first. If there are none, the
    teachers are tested.
    """
    # Formatting a config takes longer than all the rest.
    content, file = copy.deepcopy(run.cfg._cfg_dict), run.cfg.filename
    cfg = Config(content, filename=file, format_python_code=False)
    with TemporaryDirectory() as folder:
        complete = True
        for index, teacher in enumerate(run.teachers):
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
        # Else runs of one second share a name, and with it what writes into the first one's folder.
        cfg.experiment_name = osp.basename(folder)
        # The log of a run begins with its environment and its config.
        with contextlib.redirect_stdout(io.StringIO()):
            prepare_runtime(cfg)
            train(RunConfig(cfg), with_teacher_test=complete, only_begin=True)
