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
    """Find, download, read and check the checkpoint to load or resume; None if there is none.

    The runner's ``_load_from`` becomes a local path. Without a last checkpoint its ``_resume``
    becomes False, and the run starts anew. All ranks must call it and see the same file.
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
    """The path of the checkpoint to resume from and, where it has been read, its content."""
    writer = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    folder, template = runner.work_dir, 'epoch_{}.pth'
    if writer is not None:
        template = writer.filename_tmpl
        if writer.out_dir not in (None, runner.work_dir):
            folder = osp.join(writer.out_dir, osp.basename(runner.work_dir.rstrip(osp.sep)))
    if '://' in folder:
        return find_latest_checkpoint(runner.work_dir), None
    path, checkpoint = find_checkpoint_to_resume(
        runner.work_dir, folder, template, runner.logger.warning
    )
    runner.logger.info(
        f'Resuming from "{path}".'
        if path
        else f'There is no checkpoint in "{folder}" to resume from: the run begins anew.'
    )
    return path, checkpoint


def check_loaded(runner: Runner, checkpoint: dict) -> None:
    """Refuse weights that a runner would ignore in silence, or that are not finite.

    Of a new EducationDistill run, ``checkpoint['state_dict']`` becomes that of the model.
    """
    model = unwrap_model(runner.model)
    path = str(runner._load_from or 'the last checkpoint').removeprefix(SCHEME)
    training, prefix = isinstance(runner._train_loop, BaseLoop), None
    if runner._resume or not training:
        prefix = ''
    if not runner._resume and isinstance(model, MODELS.get('EducationDistill')):
        # A test does not use distillers, and a new training may have others.
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
    """Check the files of each ``init_cfg`` in a model, and change them to be read safely."""
    modules: list[Any] = list(model.modules())
    # The classifier of a FragmentedStudent is in no module tree.
    modules += [m.__dict__['student'] for m in modules if 'student' in m.__dict__]
    for module in modules:
        cfg = pretrained_of(getattr(module, 'init_cfg', None))
        # EducationDistill reads its own file.
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
