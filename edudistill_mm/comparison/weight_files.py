import os.path as osp
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from edudistill_mm.checkpoint.files import file_sha256

KEYS = ('checkpoint', 'pretrained', 'checkpoint_path')


def weights_in_files(cfg: Config) -> dict[str, str]:
    """The local files of weights that a training starts from.

    Those are ``load_from``, and what parts of the model name: the ``checkpoint`` of a
    ``Pretrained``, ``pretrained``, and timm's ``checkpoint_path``. What stands in such a file
    decides the result as much as the config that names it.

    Args:
        cfg (Config): The config of a training.

    Returns:
        dict[str, str]: The sha256 of each file that exists, by its path.
    """
    paths = {cfg.get('load_from'), *_named(cfg.model)}
    return {
        path: file_sha256(path)
        for path in sorted(path for path in paths if isinstance(path, str))
        if osp.isfile(osp.expanduser(path))
    }


def _named(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from (node[key] for key in KEYS if key in node)
        for value in node.values():
            yield from _named(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _named(value)
