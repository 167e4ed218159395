from numbers import Real
from typing import Any

from torch import Tensor

from ..errors import ConfigurationError

# Type of each key; "?" marks a key that may be missing, a list of one entry any number of such.
_STATE_OF_TRAINING = {
    'state_dict': {str: Tensor},
    'message_hub': dict(log_scalars=dict, runtime_info=dict, resumed_keys=dict),
    'optimizer': dict,
}
# The keys of ``meta['education']`` that identify the student in the checkpoint.
GRADE = dict(grade=str, seen=[int])


def check_form(checkpoint: dict, path: str, resume: bool, education: dict = GRADE) -> None:
    """Refuse a checkpoint that lacks a part, or has a part of another type than a runner expects.

    ``resume`` requires the state of a training, too; ``education`` is the form of
    ``meta['education']``.
    """
    form: dict[str, Any] = {'meta?': {'education?': GRADE}}
    if resume:
        meta = {'epoch': int, 'iter': int, 'seed?': int, 'education?': education}
        form = {'meta': meta, **_STATE_OF_TRAINING}
    mistake = _mistake(checkpoint, form, '')
    schedulers = checkpoint.get('param_schedulers')
    # Several optimizers have a dict of schedulers.
    if mistake is None and resume and isinstance(schedulers, list):
        mistake = _mistake(schedulers, [dict(last_step=int)], 'param_schedulers')
    if mistake is not None:
        hint = ''
        if resume and not any(key in checkpoint for key in ('optimizer', 'message_hub')):
            hint = ': it holds weights alone, and no state of a training'
        elif resume and 'optimizer' not in checkpoint:
            hint = ': it was saved as the best one, or with save_optimizer=False'
        verb = 'resume from' if resume else 'use'
        raise ConfigurationError(f'cannot {verb} "{path}": {mistake}{hint}')


def _mistake(value: Any, form: Any, place: str) -> str | None:
    """The first deviation of a value from its form, as a clause."""
    kind: Any = form if isinstance(form, type) else type(form)
    if not isinstance(value, kind) or (kind in (int, Real) and isinstance(value, bool)):
        names = {dict: 'a dict', list: 'a list', str: 'a string', int: 'an integer'}
        wanted = names.get(kind, f'a {kind.__name__.lower()}')
        return f'{place or "it"} must be {wanted}, but is of type {type(value).__name__}'
    if isinstance(form, list):
        entries = [(f'{place}[{index}]', item, form[0]) for index, item in enumerate(value)]
    elif isinstance(form, dict) and form and not isinstance(next(iter(form)), str):
        ((of_key, of_item),) = form.items()
        for key in value:
            if not isinstance(key, of_key):
                return f'{place} has the key {key!r}, but must have names as keys'
        entries = [(f'{place}.{key}', item, of_item) for key, item in value.items()]
    elif isinstance(form, dict):
        entries = []
        for key, part in form.items():
            name, where = key.rstrip('?'), f'{place}.{key}'.strip('.').rstrip('?')
            if value.get(name) is not None:
                entries.append((where, value[name], part))
            elif not key.endswith('?'):
                return f'{where} is missing'
    else:
        return None
    mistakes = (_mistake(item, part, where) for where, item, part in entries)
    return next((found for found in mistakes if found is not None), None)
