import contextlib
import copy
import gc
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from mmengine.logging import print_log
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from edudistill_mm.errors import TrainingError, reason_of
from edudistill_mm.models.teachers import Lesson
from edudistill_mm.random_state import random_state, set_random_state

# Steps of one kind before they are captured: what changes in each step never is.
PATIENCE = 20


class CapturedLoss:
    """Forward and backward pass of an :class:`EducationDistill`, captured as CUDA graphs.

    A GPU replays a captured step without waiting for Python to launch its kernels one by one. A
    step can be captured if nothing in it depends on numbers that only the device knows: its
    teachers know all classes, and there is one sample for the batch (resident data). Others, such
    as a last smaller batch, run as ever. A promotion, another batch size or another weight of a
    loss captures anew.

    Args:
        algorithm (EducationDistill): The algorithm.
        make_graph (Callable): Captures a module for sample arguments. Defaults to
            ``torch.cuda.make_graphed_callables``.

    Raises:
        TrainingError: When it is called, if a part of the model cannot be captured after all.
    """

    #: bool: Whether a captured step updates the weights.
    updates = False

    def __init__(
        self,
        algorithm: Any,
        make_graph: Callable[..., Any] = torch.cuda.make_graphed_callables,
    ) -> None:
        self.algorithm, self._make_graph = algorithm, make_graph
        self._graph: Callable[..., dict] | None = None
        self._captured: Hashable = None
        self._grade: int | None = None
        # By kind, of what is not captured, since the last step that was; dropped where kinds keep changing.
        self._steps: Counter[Hashable] = Counter()
        self._told: set[str] = set()

    def __call__(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Any] | None:
        """Run a captured step.

        Args:
            inputs (Tensor): Preprocessed images, [B, C, H, W].
            data_samples (list[DataSample]): One sample for the batch, with ``gt_label`` [B].

        Returns:
            dict[str, Tensor], optional: The losses of the batch, those for the log if the step
            :attr:`updates`; None if the step has to run as ever.
        """
        if self._grade != self.algorithm.grade.index:
            self._drop()
        obstacle = self.obstacle(data_samples, len(inputs))
        if obstacle:
            self._tell(f'are not captured as CUDA graphs: {obstacle}')
            return None
        kind = self._kind_of(inputs)
        if kind == self._captured or len(self._steps) > PATIENCE:
            self._steps.clear()
        if kind != self._captured:
            self._steps[kind] += 1
            if self._steps[kind] <= PATIENCE:
                return None
        answers = self._answers(inputs, data_samples)
        arguments = (inputs, data_samples[0].gt_label, *answers.values())
        if kind != self._captured:
            self._capture(arguments, list(answers))
            self._captured, self._grade = kind, self.algorithm.grade.index
        assert self._graph is not None
        return self._graph(*arguments)

    def train_step(self, data: Any, wrapper: Any) -> dict[str, Tensor]:
        """What the algorithm's ``train_step`` does, with captured graphs where that is possible.

        Args:
            data (Any): A batch of the data loader.
            wrapper (OptimWrapper): The optimizer's wrapper.

        Returns:
            dict[str, Tensor]: Losses for the log. A captured step overwrites them in the next one.
        """
        algorithm = self.algorithm
        with wrapper.optim_context(algorithm):
            data = algorithm.data_preprocessor(data, True)
            results = self(data['inputs'], data['data_samples'])
            if results is None:
                results = algorithm._run_forward(data, mode='loss')
            elif self.updates:
                return results
        total, log_vars = algorithm.parse_losses(results)
        wrapper.update_params(total)
        return log_vars

    def obstacle(self, data_samples: list[DataSample], batch_size: int) -> str | None:
        """Why a step cannot be captured, a clause; None if it can."""
        algorithm = self.algorithm
        for teacher in algorithm.active_teachers:
            if not teacher.is_generalist:
                return f'how many images teacher "{teacher.name}" gets differs from batch to batch'
        for distiller in algorithm.distillers.values():
            if distiller.deliveries.deliveries:
                return 'distill_deliveries hand over data in Python'
        sample = data_samples[0]
        if len(data_samples) != 1 or 'gt_score' in sample or len(sample.gt_label) != batch_size:
            return 'a batch has a sample for each image, as without resident data or with mixed labels'
        return None

    def _kind_of(self, inputs: Tensor) -> Hashable:
        """All that a captured step takes for granted."""
        algorithm = self.algorithm
        return (
            algorithm.grade.index,
            algorithm.student.exit_fade.depth,
            algorithm.training,
            algorithm.distillation_stopped,
            algorithm.calculate_student_loss,
            algorithm.student_trainable,
            algorithm.task_loss_weight,
            algorithm.distill_loss_weight,
            inputs.shape,
            inputs.dtype,
            torch.is_autocast_enabled(),
            torch.is_grad_enabled(),
        )

    def _answers(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """What the teachers whose answers are kept say, by name."""
        if self.algorithm.distillation_stopped:
            return {}
        return {
            member.name: Lesson(member, None, None).look_up(inputs, data_samples)
            for teacher in self.algorithm.active_teachers
            for member in teacher.members
            if member.answers is not None
        }

    def _drop(self) -> None:
        """Free the memory of a graph; torch's hold themselves in circles."""
        if self._graph is not None:
            self._graph = self._captured = None
            gc.collect()

    def _capture(self, arguments: tuple[Tensor, ...], names: list[str]) -> None:
        # The former graph's memory is free for the new one.
        self._drop()
        step = _Step(self.algorithm, names)
        try:
            with _state_preserved(self.algorithm):
                # The graph reads its arguments where those of the capture lie.
                given = tuple(argument.clone() for argument in arguments)
                self._graph = self._graph_of(step, given)
        except RuntimeError as error:
            # The device may be left in the middle of a capture: nothing can go on there.
            raise TrainingError(
                f'a step of grade "{self.algorithm.grade.name}" cannot be captured as a CUDA graph '
                f'({reason_of(error)}): a part of the model may wait for the device, or memory be short; '
                f'set model.cuda_graphs=False, with which the run can also be resumed'
            ) from error
        self._tell(f'are captured as CUDA graphs, from batches of {len(arguments[0])} images')

    def _graph_of(self, step: nn.Module, given: tuple[Tensor, ...]) -> Callable[..., dict]:
        with autocast_without_cache(given[0].device.type):
            return self._make_graph(step, given, allow_unused_input=True)

    def _tell(self, what: str) -> None:
        text = f'Steps of grade "{self.algorithm.grade.name}" {what}'
        if text not in self._told:
            self._told.add(text)
            print_log(text, logger='current')

    def __deepcopy__(self, memo: dict) -> None:
        """A copy of the algorithm, such as EMA's, is not trained."""
        return None


class _Step(nn.Module):
    """The losses of a batch of tensors.

    Args:
        algorithm (EducationDistill): The algorithm, whose parameters get gradients.
        names (list[str]): The teachers whose answers are among the arguments.
    """

    def __init__(self, algorithm: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.algorithm, self.names = algorithm, names

    def forward(self, images: Tensor, labels: Tensor, *answers: Tensor) -> dict[str, Any]:
        """Losses by name of images [B, C, H, W], labels [B], and answers [B, C] of teachers."""
        samples = [DataSample().set_gt_label(labels)]
        return self.algorithm.loss(images, samples, dict(zip(self.names, answers)))


@contextlib.contextmanager
def _state_preserved(algorithm: nn.Module) -> Iterator[None]:
    """Put back the buffers, such as BatchNorm's statistics, and the random state."""
    buffers = [(buffer, buffer.clone()) for buffer in algorithm.buffers()]
    state = copy.deepcopy(random_state())
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        set_random_state(state)


def autocast_without_cache(device: str) -> Any:
    """The autocast that is on, if one is, without its cache, which graphs cannot have."""
    if hasattr(torch, 'get_autocast_dtype'):
        enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    else:
        # PyTorch before 2.4.
        enabled, dtype = torch.is_autocast_enabled(), torch.get_autocast_gpu_dtype()
    if not enabled:
        return contextlib.nullcontext()
    return torch.autocast(device, dtype, cache_enabled=False)
