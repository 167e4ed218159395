from collections.abc import Iterable
from typing import Any


def grade_summary(model: Any, learning_rates: Iterable[float]) -> str:
    """Describe the grade that an EducationDistill has entered, in several lines for the log."""
    grade, curriculum, student = model.grade, model.curriculum, model.student
    awake, asleep = model.losses_awake, model.losses_asleep
    active = [member.name for teacher in model.active_teachers for member in teacher.members]
    teachers = ', '.join(active) or 'none'
    if model.teacher_ensemble and len(active) > 1:
        teachers += ', as an ensemble'
    if grade.leaving:
        teachers += f' ({", ".join(grade.leaving)} left)'
    losses, weak = [], grade.augmentation
    size = [] if grade.image_size is None else [grade.describe_size()]
    if awake or asleep:
        task, distillation = (
            grade.value(key, getattr(model, key))
            for key in ('task_loss_weight', 'distill_loss_weight')
        )
        losses = [
            f'  losses awake: {", ".join(awake) or "none"}; asleep: {", ".join(asleep) or "none"}',
            f'  weights: {task:.4g} of the task, {distillation:.4g} of the distillation; '
            f'temperature: {model.temperatures.describe(grade) or "none"}',
        ]
    return '\n'.join(
        [
            f'Grade {grade.index + 1} of {len(curriculum.grades)}: {grade.name}',
            f'  {"epochs" if curriculum.by_epoch else "iterations"}: {grade.begin + 1}-{grade.end}',
            f'  classes: {len(grade.seen)} of {curriculum.num_classes} ({len(grade.classes)} new)',
            f'  fragments: {grade.fragments} of {student.num_fragments}, '
            f'{student.describe_depth(grade.fragments)}',
            *(f'  image size: {text} for the student' for text in size),
            *([] if weak == 1 else [f'  augmentation: {weak:.4g} of the images']),
            f'  parameters in training: {student.parameters_in_training():,}',
            f'  teachers: {teachers}',
            *losses,
            f'  learning rate: {", ".join(f"{rate:.4g}" for rate in sorted(set(learning_rates)))}; '
            f'optimizer state: {"reset" if grade.optimizer == "reset" and grade.index else "kept"}',
        ]
    )
