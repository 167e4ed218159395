import datetime
import os
import subprocess
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed
from mmengine.utils.dl_utils import set_multi_processing
from torch import distributed

from ..errors import ConfigurationError, reason_of
from ..validation.values import check_choice

# torch's environment variables, and those of launchers that have the values.
VARIABLES = {
    'pytorch': dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE', LOCAL_RANK='LOCAL_RANK'),
    'slurm': dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'),
    'mpi': dict(
        RANK='OMPI_COMM_WORLD_RANK',
        WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
    ),
}

STARTED_BY = dict(pytorch='tools/dist_train.sh', slurm='tools/slurm_train.sh', mpi='mpirun')


def join_ranks(cfg: Config, launcher: str) -> None:
    """Join the process group of the ranks that a launcher has started; without GPUs by gloo.

    ``env_cfg.dist_cfg`` of the config gives ``backend`` (GPUs only), ``timeout`` (in seconds) and,
    for slurm, ``port``. The launcher is 'pytorch', 'slurm' or 'mpi'.
    """
    if is_distributed():
        return
    check_choice(launcher, VARIABLES, 'launcher')
    place = {}
    for name, variable in VARIABLES[launcher].items():
        if variable not in os.environ:
            raise ConfigurationError(
                f'--launcher {launcher} needs the environment variable {variable}, which is not set: '
                f'start the processes by {STARTED_BY[launcher]}'
            )
        place[name] = os.environ[variable]
    env_cfg = cfg.get('env_cfg') or {}
    dist_cfg = dict(env_cfg.get('dist_cfg') or {})
    set_multi_processing(**(env_cfg.get('mp_cfg') or {}), distributed=True)
    if torch.cuda.is_available():
        _check_gpus(int(place['LOCAL_RANK']))
        init_dist(launcher, **dist_cfg)
        return
    # MMEngine's own set-up needs GPUs; its runner keeps a group that exists.
    os.environ.update(place)
    os.environ.setdefault('MASTER_PORT', str(dist_cfg.get('port', 29500)))
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_machine() if launcher == 'slurm' else '127.0.0.1'
    options: dict[str, Any] = {}
    if dist_cfg.get('timeout') is not None:
        options['timeout'] = datetime.timedelta(seconds=dist_cfg['timeout'])
    distributed.init_process_group('gloo', **options)


def _check_gpus(local_rank: int) -> None:
    processes = max(int(os.environ.get('LOCAL_WORLD_SIZE', 0)), local_rank + 1)
    gpus = torch.cuda.device_count()
    if processes > gpus:
        raise ConfigurationError(
            f'{processes} processes have been started on this machine, but it has {gpus} GPUs: '
            f'start at most so many, or hide the GPUs by CUDA_VISIBLE_DEVICES=-1'
        )


def _first_machine() -> str:
    """Name of the machine of a slurm job's first process."""
    if os.environ.get('SLURM_NNODES', '1') == '1':
        return '127.0.0.1'
    nodes = os.environ.get('SLURM_NODELIST', '')
    try:
        command = ['scontrol', 'show', 'hostnames', nodes]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return found.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise ConfigurationError(
            f'the first of the machines SLURM_NODELIST="{nodes}" cannot be found by scontrol '
            f'({reason_of(error)}); set MASTER_ADDR to its name'
        ) from error
