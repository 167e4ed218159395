"""Stages of a distillation that prepare the next one and leave no student of their own."""

from typing import Any

from mmengine.config import Config


def preparation_of(cfg: Config) -> str | None:
    """Why a training leaves no usable student, the rest of a sentence; None if it leaves one.

    The first stage of some distillers trains connectors alone (factor transfer), or connectors
    and the student's features, but not its classifier (activation boundaries).
    """
    model = cfg.model
    if model.get('student_trainable', True) is False:
        return 'student_trainable=False trains connectors alone'
    loaded = cfg.get('load_from') and not cfg.get('resume')
    if model.get('calculate_student_loss', True) or loaded or _has_weights(model):
        return None
    distiller = model.get('distiller') or {}
    recorders = distiller.get('student_recorders') or {}
    read = [
        recorders.get(data.get('recorder'))
        for arguments in (distiller.get('loss_forward_mappings') or {}).values()
        for data in arguments.values()
        if isinstance(data, dict) and data.get('from_student')
    ]
    if not all(map(_is_before_classifier, read)):
        return None
    return 'with calculate_student_loss=False, and no loss on class scores, nothing trains its classifier'


def next_stage(checkpoint: str) -> str:
    """The rest of a sentence on how the next stage starts from a checkpoint."""
    start = f'model.init_cfg=dict(type="Pretrained", checkpoint="{checkpoint}")'
    return f'the next stage starts from its checkpoint by {start}'


def _has_weights(model: dict) -> bool:
    """Whether the student, its classifier included, begins with weights from somewhere."""
    student = model.get('architecture')
    parts = [model, student, student.get('student') if isinstance(student, dict) else None]
    return any(
        isinstance(part, dict) and (part.get('init_cfg') or part.get('pretrained'))
        for part in parts
    )


def _is_before_classifier(recorder: Any) -> bool:
    if not isinstance(recorder, dict):
        return False
    kind, source = str(recorder.get('type')), str(recorder.get('source'))
    part = source.split('.')[0]
    if kind.endswith('ModuleInputs') and not source.endswith('loss_module'):
        return part in ('backbone', 'neck', 'head')
    return kind.endswith('ModuleOutputs') and part in ('backbone', 'neck')
