"""Where a user gives what belongs to a teacher."""

# MMRazor's key of the one teacher of a run.
SINGLE = 'model.teacher'
_KEYS_OF_SINGLE = dict(architecture=SINGLE, ckpt='model.teacher_ckpt')


def part_of(key: str, part: str) -> str:
    """The key of a part of a teacher, for messages.

    Args:
        key (str): Where the teacher stands: ``'teachers[<index>]'`` or :data:`SINGLE`.
        part (str): A key of ``model.teachers``. All but the architecture and the checkpoint can be
            given there only.
    """
    return (
        _KEYS_OF_SINGLE.get(part, f'model.teachers[0].{part}')
        if key == SINGLE
        else f'{key}.{part}'
    )
