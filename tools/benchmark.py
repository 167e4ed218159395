"""What the package costs and gains, as ratios measured within one run; more of it in bench/."""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from torch import nn

from edudistill_mm.apis.command_line import config_parser, run_command
from edudistill_mm.config.load import load_config
from edudistill_mm.config.networks import network_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.cost.network_flops import network_flops
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module, build_network
from edudistill_mm.models.students import FragmentedStudent
from edudistill_mm.registration import register_all_modules
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.values import check_positive

Step = Callable[[], object]

CLASSES = 1000
# Grades and teachers.
FEW, MANY = (3, 3), (20, 50)


def benchmark(run: RunConfig, batch_size: int = 128, repeats: int = 10) -> list[tuple[str, float]]:
    """Measure the overheads of education distillation and the cost of a curriculum.

    The two sides of a ratio take turns, and the median of the ratios of neighbouring measurements
    counts, so that a machine that slows down for a while slows down both. The run needs an expert
    for each grade. The results are what was compared, and the ratio.
    """
    cfg, curriculum = run.cfg, run.curriculum
    if (
        len(curriculum.grades) < 2
        or not cfg.model.get('teachers')
        or 'student' not in cfg.model.architecture
    ):
        raise ConfigurationError(
            'the benchmark needs a FragmentedStudent, at least two grades and an expert for each, as in '
            'configs/edu_kd_experts_cifar100.py'
        )
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, 3, 32, 32, generator=generator)
    labels = torch.arange(batch_size) % curriculum.num_classes
    student = network_config(
        cfg.model.architecture.student, 'model.architecture.student'
    ).to_dict()
    experts = [
        network_config(teacher['architecture'], 'teachers').to_dict() for teacher in run.teachers
    ]
    generalist = copy.deepcopy(experts[0])
    generalist['head']['num_classes'] = curriculum.num_classes
    algorithm = _algorithm(cfg, experts)

    pairs = {
        'step of a one-grade run / step of SingleTeacherDistill': (
            _one_grade_step(cfg, student, generalist, images, labels),
            _mmrazor_step(cfg, student, generalist, images, labels),
        ),
        'student step of grade 1 / the same truncated network by hand': (
            _first_grade_step(algorithm.student, curriculum, images),
            _truncated_step(student, curriculum, images),
        ),
        f'{len(experts)} experts on their shares of a batch / one on the whole batch': (
            _faculty_step(algorithm, images, labels),
            _teacher_step(generalist, images),
        ),
    }
    results = [(name, _ratio(ours, theirs, repeats)) for name, (ours, theirs) in pairs.items()]
    return results + list(_costs(algorithm.student, curriculum).items())


def load_benchmark(
    run: RunConfig, batch_size: int = 128, repeats: int = 10
) -> list[tuple[str, float]]:
    """Measure a step and its parts with many grades and teachers, as ratios to few.

    Both sides have the student of the config with 1000 outputs, and experts with the architecture
    of its first teacher, which share the 1000 classes, so that all experts of a side see as many
    images as all of the other. Steps are those of the last grade.
    """
    images = torch.randn(batch_size, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, CLASSES, (batch_size,), generator=torch.Generator().manual_seed(0))
    algorithms, building = {}, {}
    # The first build pays for imports.
    for size in (FEW, FEW, MANY):
        model = load_model(run, *size)
        begin = time.perf_counter()
        algorithms[size] = build_module(model, 'model', 'mmpretrain').train()
        building[size] = time.perf_counter() - begin
        algorithms[size].set_grade(algorithms[size].curriculum.grades[-1])
    steps = {
        (size, part): make(algorithm, images, labels)
        for size, algorithm in algorithms.items()
        for part, make in (('step', _train_step), ('teachers', _faculty_step))
    }
    for step in steps.values():
        step()
    ratios: dict[str, list[float]] = {'step': [], 'teachers': [], 'rest': []}
    for _ in range(repeats):
        seconds = {key: _seconds(step) for key, step in steps.items()}
        for size in algorithms:
            seconds[size, 'rest'] = seconds[size, 'step'] - seconds[size, 'teachers']
        for part, values in ratios.items():
            values.append(seconds[MANY, part] / seconds[FEW, part])
    medians = {part: statistics.median(values) for part, values in ratios.items()}
    name = '{} grades and {} teachers / {} and {}'.format(*MANY, *FEW)
    return [
        (f'step: {name}', medians['step']),
        (f"forward passes of the teachers' networks in it: {name}", medians['teachers']),
        (f'all else in it: {name}', medians['rest']),
        (f'building the algorithm: {name}', building[MANY] / building[FEW]),
    ]


def load_model(run: RunConfig, grades: int, teachers: int) -> dict:
    """The model of a config with other numbers of grades and teachers, and 1000 classes.

    Classes and fragments are shared out to the grades, the classes to the teachers, whose weights
    are random.
    """
    fragments, given = run.curriculum.fragments, run.teachers
    if not given:
        raise ConfigurationError(
            'the load of teachers needs a config with a teacher, but it has none'
        )
    model = run.cfg.model.to_dict()
    for key in ('teacher', 'teacher_ckpt'):
        model.pop(key, None)
    architecture = model['architecture']
    if type_name(architecture) != 'FragmentedStudent':
        architecture = dict(type='FragmentedStudent', student=architecture)
    student = network_config(architecture['student'], 'model.architecture.student').to_dict()
    student['head']['num_classes'] = CLASSES
    expert = network_config(given[0]['architecture'], 'teachers[0].architecture').to_dict()
    shares = [range(CLASSES)[index::teachers] for index in range(teachers)]
    model['teachers'] = []
    for index, share in enumerate(shares):
        expert['head']['num_classes'] = len(share)
        model['teachers'].append(
            dict(
                name=f'expert{index}',
                architecture=build_network(expert, 'teachers'),
                classes=list(share),
            )
        )
    model['architecture'] = dict(architecture, student=student)
    model['curriculum'] = dict(
        num_classes=CLASSES,
        grades=[
            dict(
                iters=1,
                fragments=1 + index * fragments // grades,
                classes=list(range(CLASSES)[index::grades]),
            )
            for index in range(grades)
        ],
    )
    return model


def _ratio(ours: Step, theirs: Step, repeats: int) -> float:
    for step in (ours, theirs):
        step()
    ratios = []
    for index in range(repeats):
        # The order alternates, because the second of two finds warmer caches.
        if index % 2:
            other = _seconds(theirs)
            ratios.append(_seconds(ours) / other)
        else:
            own = _seconds(ours)
            ratios.append(own / _seconds(theirs))
    return statistics.median(ratios)


def _seconds(step: Step) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def _algorithm(cfg: Config, experts: list[dict]) -> nn.Module:
    model = cfg.model.to_dict()
    # Built modules stand for trained ones: speed does not depend on the weights.
    model['teachers'] = [
        dict(
            teacher,
            architecture=build_network(expert, 'teachers'),
            ckpt=None,
            # There are no data that could be in another order.
            channel_order=None,
        )
        for teacher, expert in zip(model['teachers'], experts)
    ]
    algorithm = build_module(model, 'model', 'mmpretrain').train()
    algorithm.set_grade(algorithm.curriculum.grades[-1])
    return algorithm


def _samples(labels: torch.Tensor) -> list[DataSample]:
    return [DataSample().set_gt_label(int(label)) for label in labels]


def _train_step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Step:
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))
    model.train()
    return lambda: model.train_step(dict(inputs=images, data_samples=_samples(labels)), optimizer)


def _one_grade_step(
    cfg: Config, student: dict, teacher: dict, images: torch.Tensor, labels: torch.Tensor
) -> Step:
    curriculum = dict(
        num_classes=student['head']['num_classes'],
        grades=[dict(epochs=1, fragments=1, classes='all')],
    )
    model = build_module(
        dict(
            type='EducationDistill',
            architecture=student,
            teacher=build_network(teacher, 'teacher'),
            distiller=cfg.model.distiller.to_dict(),
            curriculum=curriculum,
        ),
        'model',
        'mmpretrain',
    )
    return _train_step(model, images, labels)


def _mmrazor_step(
    cfg: Config, student: dict, teacher: dict, images: torch.Tensor, labels: torch.Tensor
) -> Step:
    model = build_module(
        dict(
            type='SingleTeacherDistill',
            architecture=build_network(student, 'student'),
            teacher=build_network(teacher, 'teacher'),
            distiller=cfg.model.distiller.to_dict(),
        ),
        'model',
        'mmrazor',
    )
    return _train_step(model, images, labels)


def _first_grade_step(
    student: FragmentedStudent, curriculum: Curriculum, images: torch.Tensor
) -> Step:
    grade = curriculum.grades[0]
    student = copy.deepcopy(student).train()
    student.set_grade(grade.fragments, grade.seen)
    labels = torch.tensor(grade.seen)[torch.arange(len(images)) % len(grade.seen)]
    samples = _samples(labels)
    return lambda: student(images, samples, mode='loss')['loss'].backward()


def _truncated_step(student: dict, curriculum: Curriculum, images: torch.Tensor) -> Step:
    backbone = build_network(student, 'student').backbone
    classes = len(curriculum.grades[0].seen)
    # The layout of the paper, with a classifier for the grade's classes only.
    network = nn.Sequential(
        backbone.conv1,
        backbone.norm1,
        backbone.relu,
        backbone.layer1,
        nn.Conv2d(16, 64, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(64 * 16, classes),
    ).train()
    targets = torch.arange(len(images)) % classes
    return lambda: nn.functional.cross_entropy(network(images), targets).backward()


def _faculty_step(algorithm: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Step:
    faculty = algorithm.faculty

    def step() -> None:
        for lesson in faculty.assign(faculty.teachers, labels):
            lesson.teacher.teach(lesson.select(images))

    return step


def _teacher_step(teacher: dict, images: torch.Tensor) -> Step:
    network = build_network(teacher, 'teacher').eval()

    def step() -> None:
        with torch.no_grad():
            network(images, mode='tensor')

    return step


def _costs(student: FragmentedStudent, curriculum: Curriculum) -> dict[str, float]:
    """Cost of the curriculum, with equally large classes, over that of plain distillation."""
    passes, flops = [], []
    for grade in curriculum.grades:
        student.set_grade(grade.fragments, grade.seen)
        passes.append(grade.length * len(grade.seen) / curriculum.num_classes)
        flops.append(network_flops(student, student.input_shape))
    return {
        'image passes of the curriculum / plain KD': sum(passes) / curriculum.length,
        'student FLOPs of the curriculum / plain KD': sum(
            count * cost for count, cost in zip(passes, flops)
        )
        / (curriculum.length * flops[-1]),
    }


# What is measured, and whether a config says of what.
MODES = {
    '--load': (
        True,
        'compare 20 grades and 50 teachers of 1000 classes to 3 grades and 3 teachers',
    ),
    '--iteration': (
        False,
        'measure the CPU time of an iteration with almost no networks, against plain MMRazor and '
        'a loop by hand',
    ),
    '--loader': (False, "measure the training loader against MMPretrain's pipeline"),
    '--kept-answers': (False, 'measure a step with kept answers against the student alone'),
    '--limit': (
        False,
        'measure an iteration of ResNet-20 with kept answers against a loop by hand, which a GPU '
        'captures',
    ),
    '--runs': (True, 'measure whole runs of tools/train.py with everything fast off and on'),
}


def measure(args: argparse.Namespace) -> list[tuple[str, float]]:
    """What was compared, and the ratio or the number, in the mode of a command line."""
    mode = next((flag for flag in MODES if getattr(args, flag[2:].replace('-', '_'))), None)
    if (MODES[mode][0] if mode else True) != (args.config is not None):
        raise ConfigurationError(
            f'{mode or "the benchmark"} needs a config'
            if args.config is None
            else f'{mode} needs no config, but got "{args.config}"'
        )
    for name in ('batch_size', 'repeats', 'epochs'):
        if getattr(args, name) is not None:
            check_positive(getattr(args, name), f'--{name.replace("_", "-")}')
    size, repeats = args.batch_size or (128 if args.config else 64), args.repeats
    if mode in (None, '--load'):
        measured = load_benchmark if mode else benchmark
        return measured(load_config(args.config, args.cfg_options), size, repeats)
    register_all_modules()
    # Beside this file, and not needed by the others.
    if mode == '--iteration':
        from bench.iteration import iteration_benchmark as measured
    elif mode == '--loader':
        from bench.loader import loader_benchmark as measured
    elif mode == '--kept-answers':
        from bench.kept_answers import kept_answers_benchmark as measured
    elif mode == '--limit':
        from bench.hand_limit import hand_limit_benchmark as measured
    else:
        from bench.whole_runs import whole_runs_benchmark

        options = [f'{key}={value}' for key, value in (args.cfg_options or {}).items()]
        return whole_runs_benchmark(args.config, options, repeats, args.epochs)
    return measured(size, repeats)


def main(argv: list[str] | None = None) -> None:
    parser = config_parser(
        'Measure what this package costs and gains, as ratios within one run',
        epochs='with --runs: length of the runs',
        optional=True,
    )
    parser.add_argument(
        '--batch-size', type=int, help='images in a batch (default 128, without a config 64)'
    )
    parser.add_argument(
        '--repeats', type=int, default=10, help='measurements of each side (default 10)'
    )
    modes = parser.add_mutually_exclusive_group()
    for flag, (_, text) in MODES.items():
        modes.add_argument(flag, action='store_true', help=text)
    args = parser.parse_args(argv)

    def command() -> None:
        for name, number in measure(args):
            print(f'{number:9.3f}  {name}')

    run_command(command)


if __name__ == '__main__':
    main()
