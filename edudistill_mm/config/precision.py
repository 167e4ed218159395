"""Mixed precision and compilation, as a config and ``--amp`` ask for them."""

import inspect

import torch
from mmengine.config import Config
from mmengine.device import get_device

from edudistill_mm.compat import compiles_students
from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.values import check_choice, check_keys

DTYPES = ('float16', 'bfloat16')
PLAIN, MIXED, BFLOAT16 = 'OptimWrapper', 'AmpOptimWrapper', 'BFloat16OptimWrapper'


def prepare_precision(cfg: Config, amp: bool = False) -> None:
    """Choose the optimizer wrapper of mixed precision for the device of this machine.

    On a GPU it is MMEngine's ``AmpOptimWrapper``: float16 with a dynamic loss scale, unless
    ``optim_wrapper.dtype`` or ``optim_wrapper.loss_scale`` says otherwise. On a CPU, where that one
    refuses to work, it is :class:`BFloat16OptimWrapper`, also if the config names
    ``AmpOptimWrapper`` itself.

    Args:
        cfg (Config): The config, changed in place.
        amp (bool): Whether mixed precision is asked for by the command line. Defaults to False.

    Raises:
        ConfigurationError: If ``optim_wrapper`` is of a type that has no mixed precision, or
            ``dtype`` or ``loss_scale`` cannot be used.
    """
    wrapper = cfg.get('optim_wrapper')
    if not isinstance(wrapper, dict):
        if amp:
            raise ConfigurationError(
                f'--amp needs optim_wrapper=dict(optimizer=...) in the config, but it is {wrapper!r}'
            )
        return
    kind = type_name(wrapper) or PLAIN
    if amp and kind not in (PLAIN, MIXED, BFLOAT16):
        raise ConfigurationError(
            f'--amp needs optim_wrapper.type "{PLAIN}" or "{MIXED}", but it is "{kind}"'
        )
    if kind == PLAIN and amp:
        wrapper['type'] = kind = MIXED
    if kind != MIXED:
        return
    dtype, scale = wrapper.get('dtype'), wrapper.get('loss_scale', 'dynamic')
    if isinstance(dtype, torch.dtype):
        dtype = str(dtype).split('.')[-1]
    if dtype is not None:
        check_choice(dtype, DTYPES, 'optim_wrapper.dtype')
    number = isinstance(scale, (int, float)) and not isinstance(scale, bool)
    if not (
        scale == 'dynamic' or isinstance(scale, dict) or (number and 0 < scale < float('inf'))
    ):
        raise ConfigurationError(
            'optim_wrapper.loss_scale must be "dynamic", a positive number or a dict of arguments of '
            f'torch.amp.GradScaler, but got {scale!r}'
        )
    if get_device() != 'cpu':
        # MMEngine takes no integer.
        wrapper['loss_scale'] = float(scale) if number else scale
        return
    if dtype == 'float16':
        raise ConfigurationError(
            'optim_wrapper.dtype="float16" needs a GPU, and there is none; possible here is "bfloat16"'
        )
    wrapper['type'] = BFLOAT16
    for key in ('dtype', 'loss_scale', 'use_fsdp'):
        wrapper.pop(key, None)


def check_compile(cfg: Config) -> None:
    """See that ``compile`` of a config is what MMEngine and ``torch.compile`` take.

    Args:
        cfg (Config): The config.

    Raises:
        ConfigurationError: If it is not.
    """
    value = cfg.get('compile')
    if value and not compiles_students():
        raise ConfigurationError(
            f'compile needs torch 2.2 or later, but torch {torch.__version__} is there; leave it out'
        )
    if value is None or isinstance(value, bool):
        return
    if not isinstance(value, dict):
        raise ConfigurationError(
            f'compile must be True, False or a dict of arguments of torch.compile, but got {value!r}'
        )
    known = [name for name in inspect.signature(torch.compile).parameters if name != 'model']
    check_keys(value, known, 'compile')
    backend = value.get('backend', 'inductor')
    backends = torch.compiler.list_backends(exclude_tags=())
    if isinstance(backend, str) and backend not in backends:
        raise ConfigurationError(
            f'compile.backend "{backend}" is none of torch.compile{did_you_mean(backend, backends)}; '
            f'possible are {", ".join(backends)}'
        )
    if backend == 'inductor' and value.get('mode') is not None:
        check_choice(value['mode'], torch._inductor.list_mode_options(), 'compile.mode')
    if value.get('fullgraph'):
        raise ConfigurationError(
            'compile.fullgraph=True is not possible: a training step is not one graph, because samples '
            'go to teachers by their labels; leave it out'
        )
