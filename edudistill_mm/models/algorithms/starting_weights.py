from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edudistill_mm.checkpoint.log_once import log_once
from edudistill_mm.checkpoint.pretrained import pretrained_of
from edudistill_mm.checkpoint.state_dict_checks import check_finite, state_dict_mismatch
from edudistill_mm.checkpoint.state_dict_names import match_names, strip_prefix
from edudistill_mm.checkpoint.weights import read_weights
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.students import FragmentedStudent
from edudistill_mm.models.students.block_growth import check_loading

# Prefixes of the student's tensors, and of those of MMRazor's single distiller.
STUDENT, DISTILLER = 'architecture.', 'distiller.'


def name_weights(
    student: FragmentedStudent, state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename the tensors of another checkpoint to those of an education with a student.

    The checkpoint is of a plain student, of ``EducationDistill``, or of ``SingleTeacherDistill``.
    What it lacks starts anew: the references of lower grades, and the classifier of a plain
    student for another number of classes. The second result lists what was done, for messages.
    """
    check_loading(student.new_blocks)
    done: list[str] = []
    if any(name.startswith(STUDENT) for name in state):
        state = dict(state)
    else:
        plain, done = _fit_plain(student, state)
        state = {f'{STUDENT}{name}': tensor for name, tensor in plain.items()}
    if not any(name.startswith(f'{STUDENT}references.') for name in state):
        own = student.references.state_dict(prefix=f'{STUDENT}references.')
        state.update(own)
    return state, done


def _fit_plain(
    student: FragmentedStudent, state: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    own = student.student.state_dict()
    state, renamed = match_names(own, state)
    done = [] if renamed is None else [renamed]
    for layer in student.classifier_names:
        found, mine = state.get(f'{layer}.weight'), own[f'{layer}.weight']
        if found is None or len(found) == len(mine) or found.shape[1:] != mine.shape[1:]:
            continue
        names = [f'{layer}.weight', f'{layer}.bias']
        state.update({name: own[name] for name in names if name in own})
        done.append(f'"{layer}", for {len(found)} classes, starts anew for {len(mine)}')
    return state, done


def load_pretrained(algorithm: nn.Module, source: str, prefix: str | None) -> None:
    """Load an education's student, and what else fits, from the path or URL of a checkpoint.

    ``prefix`` is that of MMEngine's ``PretrainedInit``.
    """
    student, where = algorithm.student, f'the checkpoint "{source}"'
    try:
        _, state, note = read_weights(source)
        state, done = name_weights(student, strip_prefix(prefix, state, f'checkpoint "{source}"'))
    except ConfigurationError as error:
        raise ConfigurationError(f'model.init_cfg: {error}') from error
    for part in [note, *done] if note else done:
        log_once(f'model.init_cfg: of "{source}", {part}')
    for name in [name for name in state if name.startswith(DISTILLER)]:
        for teacher in algorithm.distillers:
            state[f'distillers.{teacher}.{name.removeprefix(DISTILLER)}'] = state[name]
    mine = algorithm.state_dict()
    names = [f'{STUDENT}{name}' for name in student.student.state_dict()]
    difference = state_dict_mismatch({name: mine[name] for name in names}, state)
    if difference is not None:
        raise ConfigurationError(f'model.init_cfg: {where} does not fit the student: {difference}')
    fitting = {
        name: tensor
        for name, tensor in state.items()
        if name in mine and tensor.shape == mine[name].shape
    }
    check_finite(fitting, algorithm, f'model.init_cfg: {where}')
    algorithm.load_state_dict(fitting, strict=False)


def split_init_cfg(init_cfg: Any) -> tuple[dict | None, Any]:
    """The ``Pretrained`` part of an ``init_cfg``, if it has one, and the rest of it."""
    pretrained = pretrained_of(init_cfg)
    if pretrained is None:
        return None, init_cfg
    parts = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return pretrained, [cfg for cfg in parts if cfg is not pretrained] or None
