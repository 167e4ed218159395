from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from edudistill_mm.errors import ConfigurationError

from .feature_layout import feature_of
from .handed_on_heads import classifier_at


class ExitFade:
    """The exit of a former depth, whose scores the new exit takes over step by step.

    While it is on, the active classifier of a student in training returns ``rest`` times the
    scores of the former depth's teaching reference plus ``1 - rest`` times its own, to the loss as
    to whatever records it. The features that the reference reads are those of the same pass.

    Args:
        student (FragmentedStudent): The student, whose fragments follow one another.
    """

    def __init__(self, student: Any) -> None:
        self.student = student
        self.depth: int | None = None
        self._on: tuple[int | None, int] = (None, 0)
        self._handles: list[RemovableHandle] = []
        self._scores: torch.Tensor | None = None
        # A tensor, so that a captured step reads what it is then.
        self._rest: torch.Tensor | None = None

    def check(self) -> None:
        """Raise ConfigurationError if the student has not just one classifier."""
        names = self.student.classifier_names
        if len(names) != 1:
            raise ConfigurationError(
                f'ExitFadeHook needs a student with one linear classifier in its head, but it has '
                f'{", ".join(names) or "none"}; leave it out'
            )

    def set(self, depth: int | None, rest: float) -> None:
        """Fade from the exit of a lower depth than the current one, or from none (None).

        Args:
            depth (int, optional): The former depth.
            rest (float): Weight of its scores, from 0 to 1.
        """
        if self._on != (depth, self.student.depth):
            self._switch(depth)
        if depth is not None:
            assert self._rest is not None
            self._rest.fill_(rest)

    def _switch(self, depth: int | None) -> None:
        while self._handles:
            self._handles.pop().remove()
        self.depth, self._on, self._scores = depth, (depth, self.student.depth), None
        if depth is None:
            return
        student = self.student
        self._rest = torch.ones((), device=next(student.parameters()).device)
        classifier = classifier_at(student, student.depth)
        assert classifier is not None
        cut = student.student.get_submodule(student.cuts[depth - 1])
        self._handles = [
            cut.register_forward_hook(self._read, prepend=True),
            # Before the hooks of recorders, which so see what the loss sees.
            classifier.register_forward_hook(self._blend, prepend=True),
        ]

    def _read(self, module: Any, inputs: tuple, output: Any) -> None:
        student = self.student
        if not student.training or self.depth is None:
            return
        layout = student.trace.features[student.cuts[self.depth - 1]]
        reference = student.references[self.depth - 1]
        feature = feature_of(output, len(inputs[0]))
        assert feature is not None
        features = (reference(layout.read(feature)),)
        # Without hooks: what is recorded is the active classifier.
        self._scores = reference.head.fc.forward(reference.head.pre_logits(features))

    def _blend(self, module: Any, inputs: tuple, output: torch.Tensor) -> torch.Tensor | None:
        former, self._scores = self._scores, None
        if former is None or self._rest is None:
            return None
        return torch.lerp(output, former.to(output.dtype), self._rest.to(output.dtype))

    def __deepcopy__(self, memo: dict) -> 'ExitFade':
        """A copy of the student, such as an average, has its own exit only."""
        return ExitFade(memo.get(id(self.student)))
