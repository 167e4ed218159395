"""Test-time augmentation as MMPretrain's ``tools/test.py`` does it."""

import copy
import logging
from typing import Any

from mmengine.config import Config
from mmengine.hooks import PrepareTTAHook
from mmengine.logging import print_log

from edudistill_mm.config.parts import innermost, types_in
from edudistill_mm.errors import ConfigurationError


def prepare_tta(cfg: Config) -> PrepareTTAHook:
    """Let the test data of a config come in several views; returns the hook that merges them.

    By default, without ``tta_pipeline`` and ``tta_model`` in the config, which is changed in
    place, an image comes flipped horizontally and as it is, and the class scores are averaged
    (``AverageClsScoreTTA``). The hook puts the merging model around the tested one once that has
    its weights.
    """
    dataset = innermost(cfg.test_dataloader)
    pipeline: Any = cfg.get('tta_pipeline')
    if pipeline is None:
        given = (dataset or {}).get('pipeline')
        if not given:
            raise ConfigurationError(
                '--tta adds a flip to the pipeline of the test data, but '
                f'test_dataloader.dataset has {given!r} as its pipeline; give tta_pipeline'
            )
        *before, packing = copy.deepcopy(list(given))
        trained = innermost(cfg.get('train_dataloader')) or {}
        if not any('Flip' in kind or 'Aug' in kind for kind in types_in(trained.get('pipeline'))):
            print_log(
                '--tta averages over an image and its mirror image, but the training data have no '
                'RandomFlip: if the student has seen no mirror images, give tta_pipeline',
                logger='current',
                level=logging.WARNING,
            )
        flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        pipeline = [*before, dict(type='TestTimeAug', transforms=[flips, [packing]])]
    elif 'TestTimeAug' not in types_in(pipeline):
        raise ConfigurationError(
            f'tta_pipeline must have a dict(type="TestTimeAug", transforms=...), but is {pipeline!r}'
        )
    dataset['pipeline'] = pipeline
    # Several views of an image at once are nothing for resident data.
    cfg.test_dataloader.pop('resident', None)
    model = cfg.get('tta_model') or dict(type='mmpretrain.AverageClsScoreTTA')
    return PrepareTTAHook(dict(model))
