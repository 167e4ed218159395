from typing import Any

from torch import nn


def used_parameters(student: Any, depth: int) -> set[nn.Parameter]:
    """The trainable parameters that a FragmentedStudent uses at a depth, from 1 on."""
    if student.growth or depth == student.num_fragments:
        passed_by = student.growth.passed_by(depth) if student.growth else ()
        passed = tuple(f'{name}.' for name in passed_by)
        named = student.student.named_parameters()
        used = {parameter for name, parameter in named if not name.startswith(passed)}
    else:
        last = student.trace.order[student.cuts[depth - 1]]
        used = {
            parameter
            for name, place in student.trace.order.items()
            if place <= last
            for parameter in student.student.get_submodule(name).parameters()
        }
        # A backbone's own: the class token and the position embedding.
        used.update(student.references[depth - 1].parameters())
        used.update(student.backbone.parameters(recurse=False))
    return {parameter for parameter in used if parameter.requires_grad}
