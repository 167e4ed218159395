"""Fill the tables of kept answers ahead of the runs that read them."""

from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from tqdm import tqdm

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.datasets.channel_order import channel_order
from edudistill_mm.engine.grade_data import class_names, open_answers
from edudistill_mm.engine.runner import EducationRunner
from edudistill_mm.errors import ConfigurationError, TrainingError
from edudistill_mm.validation.values import check_positive

from .build_algorithm import build_algorithm


def fill_answers(run: RunConfig, batch_size: int = 512) -> int:
    """Ask all teachers whose answers are kept of all views of the images of their classes.

    What is kept already is not asked again: a fill that was interrupted, at any moment, goes on.

    Args:
        run (RunConfig): What :func:`load_config` returned, and :func:`prepare_runtime` completed.
        batch_size (int): Images that a network is asked of at once. Defaults to 512.

    Returns:
        int: The number of answers that were asked.

    Raises:
        ConfigurationError: For any mistake in the config, or if no teacher's answers are kept.
        TrainingError: The answers of a teacher cannot be kept, of which a warning says why.
    """
    check_positive(batch_size, 'batch_size')
    algorithm = build_algorithm(run)
    keeping = [teacher for teacher in algorithm.faculty.teachers if teacher.keeping is not None]
    if not keeping:
        raise ConfigurationError(
            'no teacher of the config keeps its answers; set model.keep_answers=True, or '
            'keep_answers=True of a teacher'
        )
    with DefaultScope.overwrite_default_scope(run.cfg.get('default_scope', 'mmpretrain')):
        loader = EducationRunner.build_dataloader(run.cfg.train_dataloader, seed=0, training=True)
    algorithm.introduce_data(class_names(loader), channel_order(loader.dataset))
    wrapper = build_optim_wrapper(algorithm, run.cfg.optim_wrapper)
    open_answers(algorithm, loader.dataset, run.cfg.work_dir, wrapper)
    asked = 0
    for teacher in keeping:
        answers = teacher.answers
        if answers is None:
            raise TrainingError(f'the answers of teacher "{teacher.name}" cannot be kept')
        missing = len(answers.missing())
        with tqdm(
            desc=teacher.name,
            initial=answers.wanted - missing,
            total=answers.wanted,
            unit=' answers',
            unit_scale=True,
        ) as progress:
            for count in answers.fill(batch_size):
                progress.update(count)
                asked += count
    return asked
