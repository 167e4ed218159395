"""Build and dry-run networks that users name in their configs."""

import copy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from mmpretrain.apis import ModelHub, list_models
from torch import nn

from edudistill_mm.checkpoint.download import resolve_checkpoint
from edudistill_mm.checkpoint.files import check_file
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.log_once import log_once
from edudistill_mm.checkpoint.state_dict_checks import check_finite, state_dict_mismatch
from edudistill_mm.checkpoint.state_dict_names import match_names, strip_prefix
from edudistill_mm.checkpoint.weights import weights_in
from edudistill_mm.compat import modernise, usual_recursion_limit
from edudistill_mm.datasets.class_lists import class_names_of
from edudistill_mm.errors import ConfigurationError, did_you_mean, reason_of
from edudistill_mm.models.class_names import names_in_config, remember_names
from edudistill_mm.validation.arguments import check_arguments
from edudistill_mm.validation.build_errors import build_error

# Side lengths tried for a dry run: that of the CIFAR literature (cheap, and enough for every
# network that pools globally), then those of ImageNet networks with a fixed classifier.
DRY_RUN_SIZES = (32, 224, 299)


def build_module(cfg: dict, key: str, scope: str) -> Any:
    """Build a registered module; a mistake in the config, at ``key``, becomes one sentence.

    Bare type names are looked up from ``scope``.
    """
    kind = cfg.get('type') if isinstance(cfg, dict) else None
    if not isinstance(kind, str) and not callable(kind):
        raise ConfigurationError(f'{key} must be a dict with a "type", but got {cfg!r}')
    check_arguments(cfg, key, ROOT_MODELS, scope)
    with DefaultScope.overwrite_default_scope(cfg.get('_scope_') or scope):
        try:
            return ROOT_MODELS.build(cfg)
        except ConfigurationError:
            raise
        except Exception as error:
            raise build_error(error, cfg, key) from error


def read_network_config(path: str, pretrained: bool, key: str) -> Config:
    """Read the ``'package::config'``, model of MMPretrain's zoo, or file that holds a network.

    Returns:
        Config: With a ``model``, and the published weights' URL as ``model_path`` if
        ``pretrained``.
    """
    if not isinstance(path, str):
        raise ConfigurationError(
            f'{key} needs a "type", or a "cfg_path" that is a string, but got cfg_path={path!r}'
        )
    weights = None
    try:
        with usual_recursion_limit():
            if '::' in path:
                cfg = get_config(path, pretrained)
                weights = cfg.get('model_path')
            elif _in_zoo(path):
                found = ModelHub.get(path)
                cfg, weights = copy.deepcopy(found.config), found.weights
            else:
                if path.endswith('.py'):
                    check_file(path, f'{key}: the config')
                cfg = Config.fromfile(path)
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        # MMEngine raises assertions, ValueErrors or FileNotFoundErrors, by which part is wrong.
        hint = '' if '::' in path or path.endswith('.py') else did_you_mean(path, list_models())
        raise ConfigurationError(
            f'{key}: the config "{path}" cannot be read: {reason_of(error)}{hint}'
        ) from error
    cfg = modernise(cfg)
    if 'model' not in cfg:
        raise ConfigurationError(f'{key}: the config "{path}" has no "model"')
    if cfg.get('data_preprocessor') is not None:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    if pretrained:
        if weights is None:
            raise ConfigurationError(
                f'{key}: pretrained=True needs "package::config" or the name of a model of '
                f'MMPretrain\'s zoo with published weights, but got "{path}"'
            )
        cfg.model_path = weights
    return cfg


def published_weights(spec: Any) -> str | None:
    """URL of the weights of a network that is given by its name in MMPretrain's zoo alone."""
    if not isinstance(spec, str) or '::' in spec or not _in_zoo(spec):
        return None
    return ModelHub.get(spec).weights


def published_names(name: str) -> tuple[str, ...] | None:
    """The class names that the published weights of a model of MMPretrain's zoo know."""
    return names_in_config(ModelHub.get(name).config, published=True)


def _in_zoo(name: str) -> bool:
    return not name.endswith('.py') and name in list_models()


def build_network(spec: str | dict | nn.Module, key: str) -> nn.Module:
    """Build a classifier from what a config may name.

    Args:
        spec (str | dict | nn.Module): A built module; a model config with ``type``;
            ``'package::config'``, a name of MMPretrain's zoo or the path of a config file (its
            ``model`` is built, with the file's ``data_preprocessor``); or MMRazor's
            ``dict(cfg_path=..., pretrained=False, **overrides)`` for the same. ``pretrained=True``
            loads the published weights, a path or URL that checkpoint.
        key (str): Where the spec stands, for the error message.

    Raises:
        ConfigurationError: If there is no such file or the model in it cannot be built.
    """
    if isinstance(spec, nn.Module):
        return spec
    if isinstance(spec, (str, Path)):
        spec = dict(cfg_path=str(spec))
    if not isinstance(spec, dict):
        raise ConfigurationError(
            f'{key} must be a model config, "package::config" or the path of a config file, but got {spec!r}'
        )
    spec = modernise(spec)
    if 'cfg_path' not in spec or 'type' in spec:
        return build_module(spec, key, 'mmpretrain')

    overrides = dict(spec)
    cfg_path, pretrained = overrides.pop('cfg_path'), overrides.pop('pretrained', False)
    given = isinstance(pretrained, str)
    cfg = read_network_config(cfg_path, pretrained and not given, key)
    weights = pretrained if given else cfg.get('model_path') if pretrained else None
    cfg.merge_from_dict(dict(model=overrides))
    network = build_module(cfg.model, key, 'mmpretrain')
    remember_names(network, names_in_config(cfg, published=bool(pretrained) and not given))
    if weights is not None:
        load_weights(network, weights, f'{key}.pretrained')
    return network


def load_weights(
    network: nn.Module,
    source: str,
    key: str,
    averaged: bool | None = None,
    prefix: str | None = None,
) -> str:
    """Load a checkpoint into a network, completely or not at all; return the local file's path.

    ``averaged`` is that of :func:`edudistill_mm.checkpoint.weights.extract_state_dict`, ``prefix``
    that of MMEngine's ``PretrainedInit``. The class names in the checkpoint are noted on the
    network.
    """
    try:
        path = resolve_checkpoint(source)
        checkpoint, where = load_checkpoint_file(path), f'checkpoint "{source}"'
        state, note = weights_in(checkpoint, where, averaged)
        state, renamed = match_names(
            network.state_dict(), strip_prefix(prefix, state, where), averaged
        )
    except ConfigurationError as error:
        raise ConfigurationError(f'{key}: {error}') from error
    for part in (note, renamed):
        if part is not None:
            log_once(f'{key}: of "{source}", {part}')
    where = f'{key}: the checkpoint "{source}" does not fit the architecture'
    difference = state_dict_mismatch(network.state_dict(), state)
    if difference is not None:
        raise ConfigurationError(f'{where}: {difference}')
    check_finite(state, network, f'{key}: the checkpoint "{source}"')
    found = network.load_state_dict(state, strict=False)
    # Tensors of parts that the network does not have at all are harmless: auxiliary heads, averages.
    parts = {name for name, _ in network.named_children()} - {'data_preprocessor'}
    more = [name for name in found.unexpected_keys if name.split('.')[0] in parts]
    if more:
        raise ConfigurationError(
            f'{where}: it has {len(more)} tensors more, the first is "{more[0]}"'
        )
    if hasattr(network, '_is_init'):
        network._is_init = True
    remember_names(network, class_names_of(checkpoint))
    return path


def first_input_channels(network: nn.Module) -> int:
    """Number of channels that the first convolution of a network reads; 3 without one."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    return 3


def dry_run(network: nn.Module, forward: Any, shape: tuple[int, int, int] | None = None) -> Any:
    """Call a function with a zero image (2, C, H, W), and leave no trace in the network.

    The network is in eval mode meanwhile, without gradients; afterwards the random state, the
    training flags and the buffers, in which some losses count, are as before. ``shape`` (C, H, W)
    defaults to the channels that the network reads, and the ``img_size`` that the backbone or its
    patch embedding is built for, or the first of :data:`DRY_RUN_SIZES` that it accepts.

    Raises:
        ConfigurationError: Passed on from ``forward``.
        RuntimeError: If the network accepts no image; it names the module that failed.
    """
    if shape is not None:
        shapes = [tuple(shape)]
    else:
        channels = first_input_channels(network)
        backbone = getattr(network, 'backbone', network)
        size = next((m.img_size for m in backbone.modules() if getattr(m, 'img_size', None)), None)
        if size is not None:
            size = (size, size) if isinstance(size, int) else tuple(size)
            shapes = [(channels, *size)]
        else:
            shapes = [(channels, side, side) for side in DRY_RUN_SIZES]
    flags = [(module, module.training) for module in network.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    error: BaseException = RuntimeError('it was not run')
    try:
        network.eval()
        for candidate in shapes:
            device = next((p.device for p in network.parameters()), torch.device('cpu'))
            try:
                with torch.no_grad(), torch.random.fork_rng():
                    return forward(torch.zeros(2, *candidate, device=device))
            except ConfigurationError:
                raise
            except Exception as failure:  # networks, heads and losses fail in all ways
                error = failure
    finally:
        for module, training in flags:
            module.training = training
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer.copy_(value)
    raise RuntimeError(f'{reason_of(error)}{_where(error, network)}') from error


def _where(error: BaseException, network: nn.Module) -> str:
    """The innermost module of a network that an error came out of, for a sentence."""
    names = {id(module): name for name, module in network.named_modules() if name}
    place, step = '', error.__traceback__
    while step is not None:
        place = names.get(id(step.tb_frame.f_locals.get('self')), place)
        step = step.tb_next
    return f', in "{place}"' if place else ''
