from typing import Any

from edudistill_mm.models.network import dry_run


def modules_behind(cut: str, student: Any) -> list[str]:
    """Names of a student's modules that it does not need up to a cut, the outermost only.

    These do not run, nor lie in a module that has run to its end: that one may use their weights
    without running them, as torch's attention does. The :class:`FragmentedStudent` ends at the
    cut.
    """
    started, completed = set(), {cut}
    handles = []
    for name, module in student.student.named_modules():
        if name:
            handles += [
                module.register_forward_pre_hook(lambda *_, name=name: started.add(name)),
                module.register_forward_hook(lambda *_, name=name: completed.add(name)),
            ]
    try:
        dry_run(student, student, student.trace.image_shape)
    finally:
        for handle in handles:
            handle.remove()

    def above(name: str) -> list[str]:
        parts = name.split('.')
        return ['.'.join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]

    needed = started.union(*map(above, started))
    unused: list[str] = []
    for name, _ in student.student.named_modules():
        parents = above(name)
        runs = next((parent for parent in parents if parent in started), None)
        inside = any(parent in unused for parent in parents)
        if name and name not in needed and runs not in completed and not inside:
            unused.append(name)
    return unused
