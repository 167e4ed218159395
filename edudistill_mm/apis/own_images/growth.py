"""How a student grows in the recommended curriculum."""

from dataclasses import dataclass

from mmengine.hub import get_config

from edudistill_mm.config.networks import network_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stretch import stretch
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import dry_run
from edudistill_mm.models.students import FragmentedStudent

# The recommended curriculum with losses, optimizer and hooks: its file is the only place that names it.
RECOMMENDED = 'edudistill_mm::_base_/experiments/edu_dkd_blocks.py'


@dataclass(frozen=True)
class Growth:
    """How a student grows in the recommended curriculum.

    Args:
        fragments (str): 'blocks' or 'auto'.
        grades (list[dict]): The grades.
        recipe (dict): ``train_cfg``, ``param_scheduler`` and ``custom_hooks`` for their length.
        source (str): Name of the layer in the student that gives class scores.
        reason (str): What it is and why, a sentence.
    """

    fragments: str
    grades: list[dict]
    recipe: dict
    source: str
    reason: str


def choose_growth(
    student: dict, num_classes: int, image_size: int, epochs: int, loaded: bool
) -> Growth:
    """Fit the recommended curriculum to a student.

    Args:
        student (dict): The config of the classifier.
        num_classes (int): Number of classes.
        image_size (int): Height and width of the images in pixels.
        epochs (int): Length of the curriculum.
        loaded (bool): Whether the student starts from weights that are loaded.

    Returns:
        Growth: By blocks inside its stages if it has such, otherwise by its stages.

    Raises:
        ConfigurationError: The student cannot be cut, or there are fewer epochs than grades.
    """
    base = get_config(RECOMMENDED)
    base.model.curriculum.num_classes = num_classes
    cfg = stretch(RunConfig(base), epochs).cfg
    grades = [grade.to_dict() for grade in cfg.model.curriculum.grades]
    depth = max(grade['fragments'] for grade in grades)
    fragmented, fragments, reason = _cut(student, num_classes, image_size, depth, loaded)
    for grade in grades:
        grade['fragments'] = min(grade['fragments'], fragmented.num_fragments)
    if not all(_takes(fragmented, grade.get('image_size'), image_size) for grade in grades):
        reason += '; it takes images of one size only'
        for grade in grades:
            grade.pop('image_size', None)
    steps = [fragmented.describe_depth(grade['fragments']) for grade in grades]
    recipe = {key: cfg[key] for key in ('train_cfg', 'param_scheduler', 'custom_hooks')}
    return Growth(
        fragments,
        grades,
        recipe,
        _scores_of(fragmented),
        f'{reason}: {", then ".join(dict.fromkeys(steps))}',
    )


def classifier_of(network: dict, num_classes: int, image_size: int) -> str:
    """Name of the module of a classifier that gives class scores."""
    return _scores_of(_build(network, num_classes, image_size, num_fragments=1))


def _scores_of(student: FragmentedStudent) -> str:
    """The module that gives the scores: the head, where several layers share that (DeiT's two)."""
    names = student.classifier_names
    return names[0] if len(names) == 1 else 'head'


def _cut(
    student: dict, num_classes: int, image_size: int, depth: int, loaded: bool
) -> tuple[FragmentedStudent, str, str]:
    """The student, cut into as many fragments as are possible up to a depth."""
    error: ConfigurationError | None = None
    for fragments, reason in (
        ('blocks', 'It grows by residual blocks inside its stages'),
        ('auto', 'It grows stage by stage, as it has no residual blocks that could be passed by'),
    ):
        more = dict(new_blocks='keep') if loaded and fragments == 'blocks' else {}
        for count in range(depth, 1, -1):
            try:
                found = _build(
                    student,
                    num_classes,
                    image_size,
                    fragments=fragments,
                    num_fragments=count,
                    **more,
                )
                return found, fragments, reason
            except ConfigurationError as refused:
                error = refused
    raise ConfigurationError(
        f'--student cannot grow with images of {image_size} pixels, another --image-size may help: {error}'
    ) from error


def _build(network: dict, num_classes: int, image_size: int, **arguments) -> FragmentedStudent:
    config = network_config(network, 'the network')
    config.head.num_classes = num_classes
    shape = (3, image_size, image_size)
    return FragmentedStudent(config.to_dict(), input_shape=shape, **arguments)


def _takes(student: FragmentedStudent, share: float | None, image_size: int) -> bool:
    """Whether a student takes the smaller images of a grade."""
    side = round((share or 1) * image_size)
    try:
        dry_run(student.student, student.student, (3, side, side))
    except RuntimeError:
        return False
    return True
