"""The network that a name stands for."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mmpretrain.apis import ModelHub, list_models

from edudistill_mm.apis.convert_mdistiller import NETWORKS
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module, dry_run

# Networks of ImageNet make features of 1 or 2 pixels of smaller images.
SMALL_IMAGES = 64
ZOO, TIMM, CIFAR = "MMPretrain's zoo", 'timm', 'the CIFAR networks of this package'


@dataclass(frozen=True)
class NetworkChoice:
    """The network that a name stands for.

    Args:
        name (str): Its full name.
        source (str): Who has it: :data:`ZOO`, :data:`TIMM` or :data:`CIFAR`.
        config (dict): The config of the classifier, with ``num_classes='auto'``.
        weights (str | None): The URL of its published weights; of timm the name of the model.
    """

    name: str
    source: str
    config: dict
    weights: str | None

    @property
    def short_name(self) -> str:
        """str: The name without the recipe, for names of files."""
        return self.name.split('_')[0] if self.source == ZOO else self.name


def choose_network(name: str, image_size: int, option: str) -> NetworkChoice:
    """Find the network that a name stands for.

    Case, '-' and '_' do not count, and of a name in MMPretrain's zoo what is behind the first '_'
    may be left out: the shortest name with ImageNet weights is taken. For images below
    :data:`SMALL_IMAGES` pixels networks for small images come first, otherwise last.

    Args:
        name (str): Such as 'mobilenet_v2', 'resnet18_8xb32_in1k', 'timm:resnet26', 'wrn_16_2'.
        image_size (int): Height and width of the images in pixels.
        option (str): Where the name was given, for the error message.

    Returns:
        NetworkChoice: The network.

    Raises:
        ConfigurationError: There is none of that name.
    """
    zoo = list_models(task='Image Classification')
    wanted = name.removeprefix('timm:')
    spelled = {_plain(model): model for model in zoo}
    full = name if name in zoo else spelled.get(_plain(name))
    if full is not None:
        return _of_zoo(full)
    of_zoo = partial(_shortest, zoo, name)
    in_cifar = partial(_of_cifar, name, image_size)
    searches: list[Callable[[], NetworkChoice | None]]
    if wanted != name:
        searches = [partial(_of_timm, wanted)]
    elif image_size < SMALL_IMAGES:
        small = partial(of_zoo, ('_cifar100', '_cifar10'))
        searches = [small, in_cifar, partial(of_zoo, ('_in1k',)), partial(_of_timm, name)]
    else:
        searches = [partial(of_zoo, ('_in1k',)), partial(_of_timm, name), in_cifar]
    choice = next((found for search in searches if (found := search()) is not None), None)
    if choice is None:
        names = {model.split('_')[0] for model in zoo} | set(NETWORKS) | set(zoo)
        names |= {f'timm:{model}' for model in _timm_models()}
        near = difflib.get_close_matches(name, sorted(names), n=4, cutoff=0.5)
        raise ConfigurationError(
            f"{option} {name} is no network of MMPretrain's zoo, of timm or of the CIFAR networks of this "
            f'package; near names are {", ".join(near) or "none"}'
        )
    return choice


def _plain(name: str) -> str:
    return re.sub('[-_ ]', '', name).lower()


def _shortest(zoo: list[str], name: str, data_sets: tuple[str, ...]) -> NetworkChoice | None:
    for data_set in data_sets:
        models = [
            model
            for model in zoo
            if model.endswith(data_set) and _plain(model.split('_')[0]) == _plain(name)
        ]
        published = [model for model in models if _can_be_changed(model)]
        if published:
            return _of_zoo(min(published, key=lambda model: (len(model), model)))
    return None


def _can_be_changed(name: str) -> bool:
    """Whether a model of the zoo has weights and a head whose number of classes can be given."""
    found = ModelHub.get(name)
    return bool(found.weights) and 'num_classes' in (found.config.model.get('head') or {})


def _of_zoo(name: str) -> NetworkChoice:
    published = ModelHub.get(name)
    if not _can_be_changed(name):
        raise ConfigurationError(
            f"{name} of MMPretrain's zoo has no published weights or no head with num_classes, so that it "
            f'cannot be used for other classes'
        )
    model = published.config.model
    changes: dict[str, Any] = dict(head=dict(num_classes='auto'))
    head = model.get('head') or {}
    if (head.get('loss') or {}).get('type', 'CrossEntropyLoss') != 'CrossEntropyLoss':
        # Soft labels and label smoothing belong to the recipe of the zoo, not to this one.
        changes['head']['loss'] = dict(_delete_=True, type='CrossEntropyLoss')
    if 'distillation' in head:
        changes['head']['distillation'] = False
    if model.get('train_cfg'):
        changes['train_cfg'] = None
    return NetworkChoice(name, ZOO, dict(cfg_path=name, **changes), published.weights)


def _of_cifar(name: str, image_size: int) -> NetworkChoice | None:
    names = {_plain(known): known for known in NETWORKS}
    known = names.get(_plain(name))
    if known is None:
        return None
    backbone = dict(NETWORKS[known][0])
    return NetworkChoice(known, CIFAR, _classifier(backbone, image_size), None)


def _timm_models() -> list[str]:
    try:
        import timm
    except ImportError:
        return []
    return timm.list_models()


def _of_timm(name: str) -> NetworkChoice | None:
    known = {_plain(model): model for model in _timm_models()}
    model, dot, tag = name.partition('.')
    if _plain(model) not in known:
        return None
    import timm

    full = known[_plain(model)] + dot + tag
    weights = full if timm.models.is_model_pretrained(full) else None
    backbone = dict(type='TIMMBackbone', model_name=full)
    return NetworkChoice(full, TIMM, _classifier(backbone), weights)


def _classifier(backbone: dict, image_size: int = 224) -> dict:
    """A classifier with global pooling and a linear layer."""
    network = build_module(dict(backbone), 'the network', 'mmpretrain')
    features = dry_run(network, network, (3, image_size, image_size))[-1]
    if features.ndim != 4:
        raise ConfigurationError(
            f'the features of {backbone.get("model_name")} are no maps of pixels, as a transformer has none: '
            f"take one of MMPretrain's zoo, such as deit-small or swin-tiny"
        )
    return dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes='auto',
            in_channels=features.shape[1],
            loss=dict(type='CrossEntropyLoss'),
        ),
    )
