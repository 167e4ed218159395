"""What only a GPU can show: float16 with its loss scale, NCCL, synchronised BatchNorm, memory."""

import copy
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killed_runs import PipedImages  # noqa: F401
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from runs import generalist_run, scalars, school_config
from surroundings import python_path

from edudistill_mm.apis.train import prepare_runtime
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.engine import EducationRunner
from edudistill_mm.models.algorithms.captured_loss import CapturedLoss
from edudistill_mm.models.algorithms.captured_step import CapturedStep, make_cuda_graph

pytestmark = pytest.mark.cuda
ROOT = Path(__file__).parents[2]


@HOOKS.register_module(force=True)
class DtypeWatchHook(Hook):
    """Keeps the dtypes that a layer of the student and the losses have had."""

    seen = {}

    def before_train(self, runner):
        self.seen.clear()

        def keep(name):
            def function(_, __, output):
                # Not in what is tried on a zero image beside the training.
                if runner.model.student.training:
                    self.seen.setdefault(name, set()).add(output.dtype)

            return function

        runner.model.student.student.backbone.conv1.register_forward_hook(keep('layer'))
        for distiller in runner.model.distillers.values():
            for loss in distiller.distill_losses.values():
                loss.register_forward_hook(keep('loss'))


def run(config, name, **changes):
    config = copy.deepcopy(config)
    config.work_dir, config.experiment_name = f'{config.work_dir}_{name}', name + config.work_dir
    amp = changes.pop('amp', False)
    config.update(changes)
    prepare_runtime(config, 'none', amp=amp)
    runner = EducationRunner.from_completed_cfg(config)
    runner.train()
    return runner


def losses(runner):
    return [row['loss'] for row in scalars(runner.work_dir)[0] if 'loss' in row]


@pytest.fixture
def config(tmp_path):
    config = school_config(tmp_path)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    config.randomness = dict(seed=0, deterministic=True)
    yield config
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


def test_everything_is_on_the_gpu_and_a_resumed_run_equals_the_uninterrupted_one(config):
    whole = run(config, 'whole')
    devices = {tensor.device.type for tensor in whole.model.state_dict().values()}
    devices |= {
        p.device.type for t in whole.model.faculty.teachers for p in t.network.parameters()
    }
    assert devices == {'cuda'}
    resumed = run(config, 'resumed', load_from=f'{whole.work_dir}/epoch_3.pth', resume=True)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_under_amp_layers_are_float16_and_losses_float32_and_a_resumed_run_is_the_same(config):
    config.custom_hooks.append(dict(type='DtypeWatchHook'))
    plain, mixed = run(config, 'plain'), run(config, 'mixed', amp=True)
    assert DtypeWatchHook.seen == dict(layer={torch.float16}, loss={torch.float32})
    assert type(mixed.optim_wrapper).__name__ == 'AmpOptimWrapper'
    torch.testing.assert_close(losses(mixed), losses(plain), rtol=0.02, atol=0)
    assert losses(mixed) != losses(plain)
    resumed = run(config, 'on', amp=True, load_from=f'{mixed.work_dir}/epoch_3.pth', resume=True)
    scales = [r.optim_wrapper.loss_scaler.get_scale() for r in (mixed, resumed)]
    assert scales[0] == scales[1]
    for name, tensor in mixed.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_one_process_with_nccl_and_synchronised_batchnorm_trains_what_a_plain_run_does(
    config, tmp_path
):
    whole = run(config, 'whole')
    config.sync_bn = 'torch'
    config.custom_imports = dict(imports=['toy_images'], allow_failed_imports=False)
    config.dump(tmp_path / 'config.py')
    done = subprocess.run(
        ['bash', str(ROOT / 'tools' / 'dist_train.sh'), str(tmp_path / 'config.py'), '1']
        + ['--work-dir', str(tmp_path / 'nccl'), '--no-teacher-test'],
        env=dict(
            os.environ,
            PYTHON=sys.executable,
            PYTHONPATH=python_path(ROOT, ROOT / 'tests', ROOT / 'tests' / 'engine'),
        ),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Distributed launcher: pytorch' in done.stdout + done.stderr
    found = [row['loss'] for row in scalars(tmp_path / 'nccl')[0] if 'loss' in row]
    torch.testing.assert_close(found, losses(whole), rtol=1e-3, atol=1e-3)
    assert (tmp_path / 'nccl' / 'student.pth').is_file()


@pytest.mark.parametrize('captured', [False, True])
def test_a_run_leaves_no_memory_behind(config, tmp_path, captured):
    """Three runs in one process, each through all promotions."""
    config = generalist_run(tmp_path) if captured else config
    left = []
    for number in range(3):
        run(config, f'run{number}')
        gc.collect()
        left.append(torch.cuda.memory_allocated())
    # MMEngine's logs and message hubs keep a few numbers of each run on the device.
    assert left[2] - left[1] < 2**20


# ---- captured steps and resident data
@pytest.fixture
def captures(monkeypatch):
    """The functions that captured something, in order."""
    done = []

    def watched(real):
        def make(*args, **options):
            done.append(real.__name__)
            return real(*args, **options)

        return make

    losses, steps = (watched(f) for f in (torch.cuda.make_graphed_callables, make_cuda_graph))
    monkeypatch.setattr(CapturedLoss.__init__, '__defaults__', (losses,))
    monkeypatch.setattr(CapturedStep.__init__, '__defaults__', (steps,))
    return done


# Under a loss scale the update stays outside of the graph.
@pytest.mark.parametrize('amp', [False, True], ids=['float32', 'amp'])
@pytest.mark.parametrize('kept', [False, True], ids=['asked', 'kept'])
@pytest.mark.parametrize('channels_last', [False, True], ids=['contiguous', 'channels_last'])
def test_captured_steps_train_what_plain_ones_do(tmp_path, captures, amp, kept, channels_last):
    config = generalist_run(tmp_path, keep_answers=kept, channels_last=channels_last)
    captured = run(config, 'captured', amp=amp)
    one_a_grade = ['make_graphed_callables' if amp else 'make_cuda_graph'] * 2
    assert captures == one_a_grade
    assert captured.train_dataloader.dataset.images.device.type == 'cuda'
    config.model.cuda_graphs = False
    plain = run(config, 'plain', amp=amp)
    assert captures == one_a_grade
    ours, theirs = losses(captured), losses(plain)
    assert len(ours) == len(theirs) == 80
    torch.testing.assert_close(ours[:25], theirs[:25], rtol=0.02 if amp else 1e-4, atol=1e-4)
    torch.testing.assert_close(ours, theirs, rtol=0.2 if amp else 0.05, atol=0.02)
    for name, value in plain.model.named_buffers():
        if name.endswith('num_batches_tracked'):
            assert torch.equal(value, dict(captured.model.named_buffers())[name]), name


def test_captured_steps_follow_their_rates_and_the_warm_up(tmp_path, captures):
    config = generalist_run(tmp_path)
    config.param_scheduler = [
        dict(type='LinearLR', by_epoch=False, start_factor=1, end_factor=0, end=70)
    ]
    config.custom_hooks.append(dict(type='DistillWarmupHook', iters=60))
    captured = run(config, 'captured')
    config.model.cuda_graphs = False
    plain = run(config, 'plain')
    assert captures == ['make_cuda_graph'] * 2
    for name in ('loss', 'distill.loss_kd'):
        ours, theirs = ([row[name] for row in scalars(r.work_dir)[0]] for r in (captured, plain))
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.02)


def test_captured_steps_at_a_rate_of_0_change_nothing(tmp_path, captures):
    config = generalist_run(tmp_path)
    config.param_scheduler = [
        dict(type='LinearLR', by_epoch=False, start_factor=1, end_factor=0, end=35)
    ]
    config.model.curriculum.grades[1].optimizer = 'reset'
    done = run(config, 'done')
    assert captures == ['make_cuda_graph'] * 2
    before = load_checkpoint_file(f'{done.work_dir}/iter_50.pth')['state_dict']
    parameters = dict(done.model.named_parameters())
    assert parameters
    for name, parameter in parameters.items():
        assert torch.equal(parameter.cpu(), before[name].cpu()), name


@pytest.mark.parametrize('weighting', ['entropy', 'confidence'])
def test_generalists_that_are_weighed_by_sample_are_captured(tmp_path, captures, weighting):
    config = generalist_run(tmp_path, teacher_weighting=weighting)
    first = config.model.teachers[0]
    config.model.teachers = [first, dict(first, name='other')]
    for grade in config.model.curriculum.grades:
        grade.pop('teachers', None)
    run(config, 'captured')
    assert captures == ['make_cuda_graph'] * 2


def test_the_norm_of_gradients_is_logged_from_captured_steps(tmp_path, captures):
    config = generalist_run(tmp_path)
    config.optim_wrapper.clip_grad = dict(max_norm=0.5)
    captured = run(config, 'captured')
    config.model.cuda_graphs = False
    plain = run(config, 'plain')
    assert captures == ['make_cuda_graph'] * 2
    ours, theirs = (
        [row['grad_norm'] for row in scalars(r.work_dir)[0] if 'grad_norm' in row]
        for r in (captured, plain)
    )
    assert len(ours) == len(theirs) == 80
    torch.testing.assert_close(ours[:30], theirs[:30], rtol=0.01, atol=0.01)


def test_a_run_of_captured_steps_is_resumed(tmp_path, captures):
    config = generalist_run(tmp_path)
    whole = run(config, 'whole')
    resumed = run(config, 'on', load_from=f'{whole.work_dir}/iter_50.pth', resume=True)
    torch.testing.assert_close(losses(resumed), losses(whole)[50:], rtol=0.05, atol=0.02)


def test_experts_accumulation_and_compilation_are_not_captured_and_say_why(
    config, tmp_path, captures
):
    for name, change in (
        ('experts', {}),
        ('accumulated', dict(optim_wrapper=dict(config.optim_wrapper, accumulative_counts=2))),
    ):
        of = config if name == 'experts' else generalist_run(tmp_path)
        done = run(of, name, **change)
        log = '\n'.join(path.read_text() for path in Path(done.work_dir).glob('*/*.log'))
        assert 'not captured as CUDA graphs' in log, name
    assert captures == []
