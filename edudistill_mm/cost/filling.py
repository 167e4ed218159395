"""What it costs to fill the tables of kept answers that several trainings share."""

from collections.abc import Sequence
from dataclasses import dataclass

from edudistill_mm.cost.training_cost import TrainingCost, different_views


@dataclass(frozen=True)
class Filling:
    """What one table of kept answers costs.

    Attributes:
        teacher (str): The file or the name of the teacher.
        answers (int): Expected number of its answers that are asked for, each once.
        possible (int): Number of all views of all images.
        flops (int): FLOPs of the teacher's passes.
    """

    teacher: str
    answers: int
    possible: int
    flops: int


def fillings(trainings: Sequence[tuple[TrainingCost, Sequence[int], int]]) -> list[Filling]:
    """The tables that trainings fill together, in the order in which they come up.

    The number of answers is the expected one of :func:`different_views`, as if each image were shown
    equally often.

    Args:
        trainings (Sequence): Of each the cost, the lengths of its stages, and how often it is run,
            such as the number of seeds.
    """
    tables: dict[str, tuple[str, int, int, int]] = {}
    shown: dict[str, dict[float, float]] = {}  # by table and strength of the augmentation
    for cost, lengths, times in trainings:
        for name, (teacher, table) in cost.tables.items():
            stages = [(s, length) for s, length in zip(cost.stages, lengths) if name in s.kept]
            images, views = max(stage.kept[name] for stage, _ in stages)
            if table in tables:
                # A training may show some of the images alone.
                images = max(images, tables[table][1])
            tables[table] = (teacher, images, views, stages[0][0].teachers[name][1])
            counts = shown.setdefault(table, {})
            for stage, length in stages:
                passes = times * length * stage.teachers[name][0]
                counts[stage.augmentation] = counts.get(stage.augmentation, 0) + passes
    made = []
    for table, (teacher, images, views, flops) in tables.items():
        each = {strength: passes / images for strength, passes in shown[table].items()}
        answers = round(different_views([(images, each)], views))
        made.append(Filling(teacher, answers, images * views, answers * flops))
    return made
