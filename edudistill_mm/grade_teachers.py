"""The teachers that join and leave at the grades of a config."""

from collections.abc import Mapping, Sequence

from .errors import ConfigurationError, did_you_mean


def joining(grade_cfgs: Sequence[Mapping], teachers: Sequence[str]) -> list[tuple[str, ...]]:
    """The teachers that join at each grade; all at the first, if no grade names any."""
    for index, name in enumerate(teachers):
        if name in teachers[:index]:
            raise ConfigurationError(
                f'teachers[{index}].name is "{name}" again; names of teachers are unique'
            )
    named = _named(grade_cfgs, 'teachers', teachers)
    joined_at: dict[str, int] = {}  # teacher -> index of its grade
    for index, names in enumerate(named):
        for name in names:
            if name in joined_at:
                raise ConfigurationError(
                    f'curriculum.grades[{index}].teachers lets the teacher "{name}" join a second time, '
                    f'after curriculum.grades[{joined_at[name]}]; a teacher joins once'
                )
            joined_at[name] = index
    if all(grade.get('teachers') is None for grade in grade_cfgs):
        return [tuple(teachers)] + [()] * (len(grade_cfgs) - 1)
    for name in teachers:
        if name not in joined_at:
            raise ConfigurationError(
                f'curriculum.grades never let the teacher "{name}" join; name it in the teachers of a grade'
            )
    return named


def leaving(
    grade_cfgs: Sequence[Mapping], joined: Sequence[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """The teachers that leave at each grade; ``joined`` is what :func:`joining` returned."""
    joined_at = {name: index for index, names in enumerate(joined) for name in names}
    left_at: dict[str, int] = {}
    named = _named(grade_cfgs, 'leave', list(joined_at))
    for index, names in enumerate(named):
        key = f'curriculum.grades[{index}].leave'
        for name in names:
            if name in left_at:
                raise ConfigurationError(
                    f'{key} lets the teacher "{name}" leave a second time, after '
                    f'curriculum.grades[{left_at[name]}]; a teacher that has left stays away'
                )
            if index <= joined_at[name]:
                raise ConfigurationError(
                    f'{key} has the teacher "{name}", which joins at curriculum.grades'
                    f'[{joined_at[name]}]; a teacher leaves at a grade after the one at which it joins'
                )
            left_at[name] = index
    return named


def _named(
    grade_cfgs: Sequence[Mapping], key: str, teachers: Sequence[str]
) -> list[tuple[str, ...]]:
    """The known teachers that each grade names by a key."""
    possible = 'there are no teachers'
    if teachers:
        possible = 'the teachers are ' + ', '.join(f'"{name}"' for name in teachers)
    for index, cfg in enumerate(grade_cfgs):
        where, names = f'curriculum.grades[{index}].{key}', cfg.get(key, ())
        if not isinstance(names, (list, tuple)) or not all(
            isinstance(name, str) for name in names
        ):
            raise ConfigurationError(f'{where} must be a list of names of teachers, not {names!r}')
        for name in names:
            if name not in teachers:
                raise ConfigurationError(
                    f'{where} names an unknown teacher "{name}"{did_you_mean(name, teachers)}; {possible}'
                )
    return [tuple(cfg.get(key, ())) for cfg in grade_cfgs]
