import ast
import os.path as osp
from pathlib import Path
from typing import Any

from mmengine.config import Config

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.settings import change, differences, settings

# Optimizer and schedules keep the values of their states in the checkpoint.
# In the config of a lower grade's student; see export.grade_config.
GRADE_STUDENT = "type='GradeStudent'"
STATEFUL = (
    'optim_wrapper.optimizer.',
    'optim_wrapper.paramwise_cfg',
    'param_scheduler',
    'auto_scale_lr',
)


def check_resumed_config(saved: Any, current: str, path: str) -> str | None:
    """Say which changes of a config a resumed run follows, and which not; None without changes.

    The run follows changes of model, data and loop. Optimizer and schedules keep the values of
    their saved states, such as learning rates. A ConfigurationError is raised if they are of
    another kind.

    Args:
        saved (Any): ``meta['cfg']`` of the checkpoint, the text of its config, which is not
            executed.
        current (str): The text of the config with which the run is resumed.
        path (str): The checkpoint.
    """
    new = settings_of(current)
    if new is None:
        return None  # made of more than values, which nobody can compare
    old = settings_of(saved)
    if old is None:
        return (
            f'"{path}" does not say by which config it was written; if that was another one, learning '
            'rates and their schedules are still those of the checkpoint'
        )
    kept: list[str] = []
    followed: list[str] = []
    for key, value, former in differences(new, old):
        stateful = key.startswith(STATEFUL)
        if key == 'param_scheduler' or (stateful and key.endswith('.type')):
            raise ConfigurationError(
                f'cannot resume from "{path}" with an optimizer or schedules of another kind: '
                f'{change(key, value, former)}; {start_from_student(path)}'
            )
        (kept if stateful else followed).append(change(key, value, former))
    parts = []
    if kept:
        parts.append(
            f'Not followed, because optimizer and schedules go on as they are in the checkpoint: '
            f'{"; ".join(kept)}. For a run by these values {start_from_student(path)}.'
        )
    if followed:
        parts.append(f'Followed from here on: {"; ".join(followed)}.')
    return ' '.join(['The config has changed since the run began.', *parts]) if parts else None


def start_from_student(path: str | None) -> str:
    """Say, in a clause, how a new run starts from the student of a checkpoint."""
    folder, name = osp.split(path or 'FILE')
    student = osp.join(folder, 'students', name)
    file = student if _is_complete(student) else osp.join(folder, name)
    return f'begin a new run from its student by --cfg-options load_from={file}'


def _is_complete(student: str) -> bool:
    """Whether there is a plain student, and not that of a lower grade, which lacks layers."""
    config = Path(student).with_suffix('.py')
    return osp.exists(student) and config.exists() and GRADE_STUDENT not in config.read_text()


def settings_of(text: Any) -> dict | None:
    """Read from a config's text, without executing it, what decides about a training.

    None if the text holds more than assignments of plain values, lists, tuples and dicts.
    """
    try:
        values = dict(map(_assigned, ast.parse(text).body))
        # Resuming sets load_from itself.
        values.pop('load_from', None)
        return settings(Config(values), training_only=True)
    except (SyntaxError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def _assigned(node: Any) -> tuple[str, Any]:
    (target,) = node.targets
    return target.id, _value(node.value)


def _value(node: Any) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict' and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        items: list[Any] = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):
        return node.id
    return ast.literal_eval(node)
