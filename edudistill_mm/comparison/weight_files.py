import os.path as osp
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from edudistill_mm.checkpoint.files import file_sha256
from edudistill_mm.type_name import type_name


def weights_in_files(cfg: Config) -> dict[str, str]:
    """The local files of weights that a training starts from.

    Those are ``load_from``, and what a ``Pretrained`` of the model names. What stands in such a
    file decides the result as much as the config that names it.

    Args:
        cfg (Config): The config of a training.

    Returns:
        dict[str, str]: The sha256 of each file that exists, by its path.
    """
    paths = {cfg.get('load_from'), *_pretrained(cfg.model)}
    return {
        path: file_sha256(path)
        for path in sorted(str(path) for path in paths if path)
        if osp.isfile(path)
    }


def _pretrained(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if type_name(node) == 'Pretrained':
            yield node.get('checkpoint')
        for value in node.values():
            yield from _pretrained(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _pretrained(value)
