"""What only a GPU can show: float16 with its loss scale, NCCL, synchronised BatchNorm, memory."""

import copy
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from runs import scalars, school_config
from surroundings import python_path

from edudistill_mm.apis.train import prepare_runtime

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
    runner = Runner.from_cfg(config)
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


def test_a_run_leaves_no_memory_behind(config):
    """Three runs in one process, each through all promotions."""
    left = []
    for number in range(3):
        run(config, f'run{number}')
        gc.collect()
        left.append(torch.cuda.memory_allocated())
    # MMEngine's logs and message hubs keep a few numbers of each run on the device.
    assert left[2] - left[1] < 2**20
