"""Where a user gives what belongs to a teacher."""

# MMRazor's key of the one teacher of a run.
SINGLE = 'model.teacher'
_KEYS_OF_SINGLE = dict(
    architecture=SINGLE, ckpt='model.teacher_ckpt', keep_answers='model.keep_answers'
)


def part_of(key: str, part: str) -> str:
    """The key of a part of a teacher, for messages.

    A single teacher, at :data:`SINGLE`, has only its architecture, its checkpoint and whether its
    answers are kept there; all else is given in ``model.teachers``.
    """
    if key == SINGLE:
        return _KEYS_OF_SINGLE.get(part, f'model.teachers[0].{part}')
    return f'{key}.{part}'
