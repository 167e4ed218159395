"""A run with 1000 classes, 20 grades and 50 teachers."""

import resource
import time

import pytest
import torch
import toy_images  # noqa: F401
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from runs import scalars, school_config
from toy_images import ToyImages

from edudistill_mm.config.run_config import RunConfig
from tools.benchmark import CLASSES, FEW, MANY, load_benchmark, load_model

pytestmark = pytest.mark.slow

AREA = 'Load'
ITERS = 3


@DATASETS.register_module(force=True)
class ManyClasses(ToyImages):
    """Two noisy grey images of each of 1000 classes."""

    METAINFO = dict(classes=[f'class {label}' for label in range(CLASSES)])

    def load_data_list(self):
        noise = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (2 * CLASSES, 8, 8, 3), generator=noise).byte().numpy()
        return [dict(img=image, gt_label=index // 2) for index, image in enumerate(images)]


@pytest.fixture
def config(tmp_path):
    """Config of a run of three iterations in each of 20 grades with 50 teachers in the end."""
    cfg = school_config(tmp_path)
    cfg.model.data_preprocessor.num_classes = CLASSES
    model = load_model(RunConfig(cfg), *MANY)
    grades = model['curriculum']['grades']
    names = [teacher['name'] for teacher in model['teachers']]
    for index, grade in enumerate(grades):
        grade['iters'] = ITERS
        # Two or three join in each grade.
        grade['teachers'] = names[index * 50 // 20 : (index + 1) * 50 // 20]
    cfg.model = model
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset = dict(type='ManyClasses')
        loader.batch_size = 32
    iterations = ITERS * len(grades)
    cfg.train_cfg = dict(by_epoch=False, max_iters=iterations, val_interval=iterations)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=30, by_epoch=False)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='FiniteLossHook')]
    return cfg


def test_a_run_of_1000_classes_20_grades_and_50_teachers_goes_through_all_grades(config, report):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    runner = Runner.from_cfg(config)
    seconds = time.process_time() - begin
    runner.train()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    steps, validations = scalars(config.work_dir)
    assert [row['grade'] for row in steps] == [g for g in range(1, 21) for _ in range(ITERS)]
    assert all(torch.isfinite(torch.tensor(row['loss'])) for row in steps)
    assert all(row['distill.loss_kd'] > 0 for row in steps)
    assert len(runner.model.active_teachers) == 50
    assert len(validations) == 1
    saved = torch.load(f'{config.work_dir}/iter_60.pth', weights_only=True)
    assert len(saved['meta']['education']['teachers']) == 50
    assert set(saved['state_dict']) == set(runner.model.state_dict())
    assert not any('expert' in name for name in saved['state_dict'])
    # 50 teachers of 3,000 weights; the rest is what torch's and this package's buffers take.
    assert memory < 400
    report(
        AREA,
        '1000 classes, 20 grades, 50 teachers',
        'a run of 60 iterations on a CPU, small networks',
        1,
        f'all grades were entered, all teachers taught; building took {seconds:.1f} s of one CPU core, '
        f'the whole run {memory:.0f} MB more than the interpreter before it',
    )


def test_many_grades_and_teachers_cost_little_but_their_own_forward_passes(tmp_path, full, report):
    cfg = school_config(tmp_path)
    ratios = dict(load_benchmark(RunConfig(cfg), batch_size=128, repeats=10 if full else 3))
    step, teachers, rest, building = ratios.values()
    # 50 networks instead of 3 cost their calls; the routing, the losses and their gradients do not
    # grow with the number of teachers.
    assert rest < 3
    report(
        AREA,
        'overhead of many grades and teachers',
        f'`tools/benchmark.py --load`: {MANY[0]} grades and {MANY[1]} teachers against {FEW[0]} and '
        f'{FEW[1]}, same student, teachers of the same size, batch of 128 images',
        10 if full else 3,
        f'a step takes {step:.2f} times as long: the forward passes of the teachers {teachers:.2f} '
        f'times, all else {rest:.2f} times; building takes {building:.1f} times as long',
    )
