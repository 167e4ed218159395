"""Find mistakes in the config of an MMRazor distiller before it is built."""

import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.registry import TASK_UTILS
from torch import nn

from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.arguments import check_value
from edudistill_mm.validation.values import check_keys

SIDES = ('student_recorders', 'teacher_recorders')
PARTS = (*SIDES, 'distill_deliveries', 'connectors', 'distill_losses', 'loss_forward_mappings')
# What MMRazor's losses call the records of student and teacher.
PAIRS = (('preds_S', 'preds_T'), ('s_feature', 't_feature'))
# Keys of a record in a mapping: the arguments of the method that reads the record.
RECORD = {
    name: parameter
    for name, parameter in inspect.signature(ConfigurableDistiller.get_record).parameters.items()
    if name != 'self'
}


def check_distiller_config(cfg: Any) -> None:
    """Check a distiller's recorders, connectors, losses and mappings, and their references."""
    if not isinstance(cfg, Mapping):
        raise ConfigurationError(f'distiller must be a dict with a "type", but got {cfg!r}')
    parts: dict[str, Mapping] = {}
    for part in PARTS:
        given = cfg.get(part)
        if given is not None and not isinstance(given, Mapping):
            raise ConfigurationError(
                f'distiller.{part} must be a dict of dicts, but got {given!r}'
            )
        parts[part] = given or {}
        for name, item in parts[part].items():
            _check_item(item, f'distiller.{part}.{name}', part)
    losses, mappings = parts['distill_losses'], parts['loss_forward_mappings']
    for name in losses:
        if 'loss' not in name:
            raise ConfigurationError(
                f'distiller.distill_losses.{name} would never count: MMEngine sums up what has "loss" in '
                f'its name; call it "loss_{name}", in distiller.loss_forward_mappings too'
            )
    for name in mappings:
        if name not in losses:
            raise ConfigurationError(
                f'distiller.loss_forward_mappings.{name} belongs to no loss in '
                f'distiller.distill_losses{did_you_mean(name, losses)}; there are '
                f'{", ".join(losses) or "none"}'
            )
    resting = [name for name in losses if name not in mappings]
    for name in resting:
        sentence = (
            f'distiller.distill_losses.{name} would never be computed: '
            f'distiller.loss_forward_mappings has nothing for it{did_you_mean(name, mappings)}'
        )
        if len(resting) == len(losses):
            raise ConfigurationError(sentence)
        # MMRazor's config of factor transfer's second stage keeps the first stage's loss so.
        warnings.warn(sentence, stacklevel=2)
    for name, mapping in mappings.items():
        for argument, record in mapping.items():
            _check_record(record, f'distiller.loss_forward_mappings.{name}.{argument}', parts)
        _warn_of_exchange(mapping, f'distiller.loss_forward_mappings.{name}')


def _warn_of_exchange(mapping: Mapping[str, Mapping], key: str) -> None:
    """Tell of a loss that takes the teacher for the student, and the student for the teacher."""
    for of_student, of_teacher in PAIRS:
        if of_student in mapping and of_teacher in mapping:
            given = [mapping[name]['from_student'] for name in (of_student, of_teacher)]
            if given == [False, True]:
                warnings.warn(
                    f'{key}.{of_student} is what the teacher gives, and {of_teacher} what the student '
                    f'gives: were from_student=True and False exchanged? Most losses detach {of_teacher}, '
                    f'and the student would learn nothing from them',
                    stacklevel=3,
                )


def check_loss_arguments(losses: nn.ModuleDict, mappings: Mapping[str, Mapping]) -> None:
    """Refuse ``loss_forward_mappings`` with other arguments than those of a loss's ``forward``."""
    for name, mapping in mappings.items():
        key = f'distiller.loss_forward_mappings.{name}'
        kind = type(losses[name]).__name__
        parameters = inspect.signature(losses[name].forward).parameters.values()
        names = [parameter.name for parameter in parameters]
        open_ended = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)
        for argument in mapping:
            if argument not in names and not open_ended:
                raise ConfigurationError(
                    f'{key} has "{argument}", which {kind} does not take'
                    f'{did_you_mean(argument, names)}; it takes {", ".join(names)}'
                )
        for parameter in parameters:
            required = parameter.default is parameter.empty and parameter.kind in (
                parameter.POSITIONAL_OR_KEYWORD,
                parameter.KEYWORD_ONLY,
            )
            if required and parameter.name not in mapping:
                raise ConfigurationError(f'{key} lacks "{parameter.name}", which {kind} needs')


def _check_item(item: Any, key: str, part: str) -> None:
    if part == 'loss_forward_mappings':
        if not isinstance(item, Mapping):
            raise ConfigurationError(
                f'{key} must be a dict from the arguments of the loss to records, but got {item!r}'
            )
        return
    # Several connectors in a row are given as a list.
    several = part == 'connectors' and isinstance(item, (list, tuple)) and len(item) > 0
    for one in item if several else [item]:
        if not isinstance(one, Mapping) or not isinstance(one.get('type'), (str, type)):
            raise ConfigurationError(f'{key} must be a dict with a "type", but got {one!r}')
        if part not in SIDES:
            continue
        if not isinstance(one.get('source'), str):
            raise ConfigurationError(
                f'{key}.source must be the name of what is recorded, but got {one.get("source")!r}'
            )
        # MMRazor adds the suffix.
        recorders = [
            recorder.removesuffix('Recorder')
            for recorder in TASK_UTILS.module_dict
            if recorder.endswith('Recorder')
        ]
        kind = one['type']
        if not isinstance(kind, str) or ('.' not in kind and kind not in recorders):
            raise ConfigurationError(
                f'{key}.type is {kind!r}, which is no recorder'
                f'{did_you_mean(type_name(kind).removesuffix("Recorder"), recorders)}; '
                f'there are {", ".join(recorders)}'
            )


def _check_record(record: Any, key: str, parts: Mapping[str, Mapping]) -> None:
    if not isinstance(record, Mapping):
        raise ConfigurationError(
            f'{key} must be a dict with "recorder" and "from_student", but got {record!r}'
        )
    check_keys(record, RECORD, key)
    for name, value in record.items():
        check_value(value, RECORD[name], f'{key}.{name}')
        if name.endswith('_idx') and value is not None and value < 0:
            raise ConfigurationError(f'{key}.{name} must not be negative, but got {value!r}')
    for name in ('recorder', 'from_student'):
        if name not in record:
            raise ConfigurationError(f'{key} lacks the key "{name}"')
    side = SIDES[0] if record['from_student'] else SIDES[1]
    _check_known(record['recorder'], parts[side], f'{key}.recorder', f'distiller.{side}')
    if record.get('connector') is not None:
        _check_known(
            record['connector'], parts['connectors'], f'{key}.connector', 'distiller.connectors'
        )


def _check_known(name: str, known: Iterable[str], key: str, where: str) -> None:
    if name not in known:
        raise ConfigurationError(
            f'{key} is "{name}", which is not in {where}{did_you_mean(name, known)}; there are '
            f'{", ".join(known) or "none"}'
        )
