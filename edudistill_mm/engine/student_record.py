import re
from typing import Any

import torch
from torch import Tensor

# Attributes that depend on the distiller or the moment, not on the student.
_NOT_THE_STUDENT = ('inplace', 'training')


def describe_student(student: Any) -> dict:
    """Describe a student by its cuts, the settings of its leaf modules and the torch version."""
    # Numbers of classes, which follow the grade.
    changing = {(id(module), name) for module, name, _ in student.class_counts.settings}
    layers = {}
    for name, module in student.named_modules():
        if not name or any(True for _ in module.children()):
            continue
        settings = [
            f'{key}={value}'
            for key, value in vars(module).items()
            if isinstance(value, (bool, int, float, str, tuple))
            and not key.startswith('_')
            and key not in _NOT_THE_STUDENT
            and (id(module), key) not in changing
        ]
        # SyncBatchNorm depends on the number of processes.
        kind = re.sub(r'^(Sync)?BatchNorm([123]d)?$', 'BatchNorm', type(module).__name__)
        layers[name] = f'{kind}({", ".join(sorted(settings))})'
    record: dict[str, Any] = dict(
        cuts=list(student.cuts), layers=layers, torch=str(torch.__version__)
    )
    if student.growth is not None:
        record.update(blocks=student.growth.names, new_blocks=student.new_blocks)
    if student.hand_on_head:
        record['hand_on_head'] = True
    return record


def student_difference(model: Any, state: dict[str, Tensor], record: dict) -> str | None:
    """The first difference of a model from the one that wrote a checkpoint, as a clause."""
    mine = describe_student(model.student)
    if mine['cuts'] != record['cuts']:
        return f'its fragments ended at {record["cuts"]}, those of the config at {mine["cuts"]}'
    for key, what in dict(blocks='fragments added the', new_blocks='new').items():
        if mine.get(key) != record.get(key):
            return f'its {what} blocks {record.get(key)}, those of the config {mine.get(key)}'
    if mine.get('hand_on_head') != record.get('hand_on_head'):
        return (
            f'its hand_on_head was {bool(record.get("hand_on_head"))}, another than in the config'
        )
    own = model.state_dict()
    for name, tensor in own.items():
        if name not in state:
            return f'it has no "{name}", which the config has'
        if tensor.shape != state[name].shape:
            return (
                f'its "{name}" has the shape {tuple(state[name].shape)}, that of the config '
                f'{tuple(tensor.shape)}'
            )
    for name in state:
        if name not in own:
            return f'it has "{name}", which the config does not have'
    if mine['torch'] == record['torch']:
        for name in sorted({*mine['layers'], *record['layers']}):
            here, there = mine['layers'].get(name), record['layers'].get(name)
            if here != there:
                return f'its layer "{name}" was {there}, that of the config is {here}'
    return None
