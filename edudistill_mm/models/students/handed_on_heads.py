from typing import Any

from torch import nn

from edudistill_mm.errors import ConfigurationError


def classifier_at(student: Any, depth: int) -> nn.Module | None:
    """The linear layer that gives a FragmentedStudent's scores at a depth; None if it is not one."""
    if depth < student.num_fragments:
        return getattr(student.references[depth - 1].head, 'fc', None)
    names = student.classifier_names
    return student.get_submodule(names[0]) if len(names) == 1 else None


def hand_on_head(student: Any, depth: int, new_depth: int) -> None:
    """Give the classifier of a depth the weights of that of a lower one, if shapes agree."""
    pair = _agreeing(student, depth, new_depth)
    if pair is not None:
        former, following = pair
        following.load_state_dict(former.state_dict())


def check_handing_on(student: Any) -> None:
    """Refuse ``hand_on_head`` for a student none of whose heads fits the one that follows."""
    depths = range(1, student.num_fragments)
    if all(_agreeing(student, depth, depth + 1) is None for depth in depths):
        raise ConfigurationError(
            'architecture.hand_on_head is True, but no head of a teaching reference has the shape of the '
            'one that follows; architecture.reference=dict(pool_size=1) gives references such heads '
            'where features are maps'
        )


def _agreeing(student: Any, depth: int, new_depth: int) -> tuple[nn.Module, nn.Module] | None:
    """The classifiers of two depths, if they have tensors of the same names and shapes."""
    former, following = classifier_at(student, depth), classifier_at(student, new_depth)
    if former is None or following is None:
        return None
    shapes = (
        {name: tensor.shape for name, tensor in layer.state_dict().items()}
        for layer in (former, following)
    )
    return (former, following) if next(shapes) == next(shapes) else None
