"""What a runner loads before it begins: found, read without running code, and checked."""

import os.path as osp
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint
from torch import nn

from ..checkpoint.download import SCHEME, resolve_checkpoint
from ..checkpoint.files import file_sha256
from ..checkpoint.form import check_form
from ..checkpoint.load import load_checkpoint_file
from ..checkpoint.load_checks import check_optimizer, check_part, check_weights
from ..checkpoint.pretrained import pretrained_of
from ..checkpoint.weights import read_weights
from ..distributed import check_same_on_all_ranks, unwrap_model
from ..errors import ConfigurationError
from ..registry import MODELS
from .education_record import FORM
from .find_checkpoint import find_checkpoint_to_resume


def read_checkpoint(runner: Runner) -> dict | None:
    """Find and read the checkpoint that a runner is to load or to resume from.

    A URL is downloaded. Where the runner is to resume from the last checkpoint and there is none,
    the run begins anew. All ranks must call it.

    Args:
        runner (Runner): The runner. Its ``_load_from`` becomes the path of a local file, its
            ``_resume`` is kept if there is one.

    Returns:
        dict | None: What is in the file; None if there is nothing to load.

    Raises:
        ConfigurationError: The file is missing, damaged, of another form or wants to run code, or
            the ranks do not see the same one.
    """
    checkpoint = None
    if runner._load_from is not None:
        runner._load_from = resolve_checkpoint(runner._load_from)
    elif runner._resume:
        runner._load_from, checkpoint = _last_checkpoint(runner)
        runner._resume = runner._load_from is not None
    path = runner._load_from
    if get_world_size() > 1:
        seen = file_sha256(path) if path is not None and osp.isfile(path) else 'none'
        check_same_on_all_ranks(
            {'checkpoint to load': seen},
            'all must see the same files',
        )
    if path is None:
        return None
    if checkpoint is None:
        checkpoint = load_checkpoint_file(path)
    check_form(checkpoint, path, runner._resume, FORM)
    return checkpoint


def _last_checkpoint(runner: Runner) -> tuple[str | None, dict | None]:
    """The path of the checkpoint to resume from and, where it has been read, what is in it."""
    writer = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    folder, template = runner.work_dir, 'epoch_{}.pth'
    if writer is not None:
        template = writer.filename_tmpl
        if writer.out_dir not in (None, runner.work_dir):
            folder = osp.join(writer.out_dir, osp.basename(runner.work_dir.rstrip(osp.sep)))
    if '://' in folder:
        return find_latest_checkpoint(runner.work_dir), None
    path, checkpoint = find_checkpoint_to_resume(
        runner.work_dir, folder, template, lambda line: runner.logger.warning(line)
    )
    runner.logger.info(
        f'Resuming from "{path}".'
        if path
        else f'There is no checkpoint in "{folder}" to resume from: the run begins anew.'
    )
    return path, checkpoint


def check_loaded(runner: Runner, checkpoint: dict) -> None:
    """Refuse weights that a runner would leave out in silence, or that are no numbers.

    Args:
        runner (Runner): The runner that takes the checkpoint over.
        checkpoint (dict): The checkpoint, whose weights are turned into those of the model, if a
            new :class:`EducationDistill` run starts from them.

    Raises:
        ConfigurationError: The first tensor that is wrong is named.
    """
    model = unwrap_model(runner.model)
    path = str(runner._load_from or 'the last checkpoint').removeprefix(SCHEME)
    training, prefix = isinstance(runner._train_loop, BaseLoop), None
    if runner._resume or not training:
        prefix = ''
    if not runner._resume and isinstance(model, MODELS.get('EducationDistill')):
        # Distillers are of no use to a test, and a new training may have others.
        prefix = 'architecture.'
        if training:
            checkpoint['state_dict'], done = model.start_from(checkpoint['state_dict'])
            for part in done:
                runner.logger.info(f'load_from: of "{path}", {part}')
    # Other trainings may start from a part of their weights, as MM projects do.
    check_weights(checkpoint, path, model, prefix)
    if runner._resume:
        check_optimizer(checkpoint, path)


def check_pretrained(model: nn.Module) -> None:
    """Check the files from which parts of a model are about to be initialised, and have them read
    by :func:`~edudistill_mm.checkpoint.weights.read_weights`.

    Args:
        model (nn.Module): The model of a runner, whose ``init_cfg`` are changed in place.

    Raises:
        ConfigurationError: A file cannot be used, or holds nothing for its part.
    """
    modules: list[Any] = list(model.modules())
    # The classifier inside of a FragmentedStudent is in no module tree.
    modules += [m.__dict__['student'] for m in modules if 'student' in m.__dict__]
    for module in modules:
        cfg = pretrained_of(getattr(module, 'init_cfg', None))
        # EducationDistill reads its own.
        if cfg is None or module.is_init or isinstance(module, MODELS.get('EducationDistill')):
            continue
        source = cfg.get('checkpoint')
        if not isinstance(source, str):
            continue
        if '://' in source and not source.startswith(('http://', 'https://')):
            continue  # a name that MMEngine knows, such as torchvision://resnet50
        try:
            path, state, _ = read_weights(source)
            check_part(module, state, cfg.get('prefix'), f'checkpoint "{source}"')
        except ConfigurationError as error:
            where = f'init_cfg of {type(module).__name__}'
            raise ConfigurationError(f'{where}: {error}') from error
        cfg['checkpoint'] = f'{SCHEME}{path}'
