from collections.abc import Sequence

from edudistill_mm.cost.training_cost import TrainingCost


def against_plain(cost: TrainingCost, lengths: Sequence[int] | None = None) -> list[str]:
    """Sentences on what a training costs beside one of the whole student on all classes.

    The plain training is as long as the config's. ``lengths`` are the epochs (or iterations) that
    each stage was trained for, by default the config's, too.
    """
    # The last grade has all classes.
    last, passes = cost.stages[-1], cost.image_passes(lengths)
    everything = sum(cost.lengths) * last.images
    student = cost.student_flops(lengths)
    lines = [
        f'Image passes: {passes:,}, {passes / everything:.1%} of {everything:,} with all classes '
        'throughout',
        f'FLOPs of the student: {student / (everything * last.flops_per_image):.1%} of the whole '
        'student on all of those',
    ]
    if any(stage.teachers for stage in cost.stages):
        of_teachers = cost.teacher_flops(lengths) + cost.filling_flops(lengths)
        lines.append(f"FLOPs of the teachers: {of_teachers / student:.1%} of the student's")
        if any(stage.kept for stage in cost.stages):
            anew = sum(
                length * images * flops
                for stage, length in zip(cost.stages, lengths or cost.lengths)
                for images, flops in stage.teachers.values()
            )
            lines[-1] += (
                f', {anew / student:.1%} if no answers were kept, '
                f'{cost.teacher_flops(lengths) / student:.1%} if all are kept already'
            )
    return lines
