import os

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from edudistill_mm.engine import EducationRunner
from edudistill_mm.errors import ConfigurationError


class Dots(Dataset):
    metainfo = dict(classes=('left', 'right'), sizes=np.array([3, 4]))

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.tensor([float(index), 1.0]) / 12


class DotModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
        )

    def forward(self, *inputs, mode='loss'):
        return dict(loss=(self.layers(torch.stack(inputs)) - 1).square().mean())


class Killed(Exception):
    pass


class KillHook(Hook):
    """Ends the process after ``epochs`` epochs, as far as a test can."""

    def __init__(self, epochs):
        self.epochs = epochs

    def before_train_epoch(self, runner):
        if runner.epoch == self.epochs:
            raise Killed


class ExtraHook(Hook):
    """A hook of somebody else that puts all kinds of things into a checkpoint."""

    def before_save_checkpoint(self, runner, checkpoint):
        checkpoint['meta']['numbers'] = dict(
            one=np.int64(1), many=np.eye(2), pair=(np.float32(0.5), None)
        )
        checkpoint['meta']['helper'] = dict(kept=2, thing=object())


def make_runner(work_dir, max_epochs, safe=True, hooks=(), kind=EducationRunner, **kwargs):
    torch.manual_seed(0)
    make_runner.count += 1
    safe_hook = [dict(type='SafeCheckpointHook')] if safe else []
    return kind(
        DotModel(),
        str(work_dir),
        train_dataloader=dict(
            dataset=Dots(), sampler=dict(type=DefaultSampler, shuffle=True), batch_size=4
        ),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        experiment_name=f'safe_checkpoint_{make_runner.count}',
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=[dict(type='MultiStepLR', milestones=[1, 3], gamma=0.5)],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=safe_hook + list(hooks),
        randomness=dict(seed=5),
        default_scope='mmengine',
        **kwargs,
    )


make_runner.count = 0


def train_until_killed(work_dir, epochs, max_epochs, hooks=(), **kwargs):
    with pytest.raises(Killed):
        make_runner(work_dir, max_epochs, hooks=[*hooks, KillHook(epochs)], **kwargs).train()


def allow_list() -> list:
    """What torch reads beside tensors and plain values; before torch 2.4 nothing could be
    added."""
    return getattr(torch.serialization, 'get_safe_globals', list)()


@pytest.fixture
def no_allow_list():
    """torch.distributed puts classes of its own on torch's allow-list; here it is empty."""
    allowed = allow_list()
    if not allowed:
        yield
        return
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.add_safe_globals(allowed)


def history(runner: EducationRunner, name='train/loss') -> np.ndarray:
    return runner.message_hub.get_scalar(name).data[0]


def test_a_checkpoint_loads_without_an_allow_list(tmp_path, no_allow_list):
    runner = make_runner(tmp_path, 1, hooks=[ExtraHook(), dict(type='EMAHook')])
    runner.message_hub.update_info('best', np.float64(0.25), resumed=True)
    runner.train()
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert checkpoint['message_hub']['runtime_info']['best'] == 0.25
    assert checkpoint['meta']['dataset_meta'] == dict(classes=('left', 'right'), sizes=[3, 4])
    assert checkpoint['meta']['numbers'] == dict(
        one=1, many=[[1.0, 0.0], [0.0, 1.0]], pair=(0.5, None)
    )
    assert set(checkpoint) >= {'state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'}


def test_a_checkpoint_holds_the_config_without_formatting_it_anew(tmp_path):
    cfg = Config(
        dict(model=dict(layers=[dict(type='Linear', width=width) for width in range(20)]))
    )
    make_runner(tmp_path, 1, cfg=cfg).train()
    text = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)['meta']['cfg']
    read = Config.fromstring(text, '.py')
    assert read.model == cfg.model
    assert text != read.pretty_text


def test_what_has_no_plain_form_is_left_out_with_a_warning(tmp_path):
    make_runner(tmp_path, 2, hooks=[ExtraHook()]).train()
    assert torch.load(tmp_path / 'epoch_2.pth', weights_only=True)['meta']['helper'] == dict(
        kept=2
    )
    log = ''.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert log.count('checkpoints are written without "meta.helper.thing"') == 1


@pytest.mark.parametrize('hooks', [(), (dict(type='EMAHook'),)], ids=['plain', 'ema'])
def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(tmp_path, hooks):
    whole = make_runner(tmp_path / 'whole', 4, hooks=hooks)
    whole.train()
    train_until_killed(tmp_path / 'part', 2, max_epochs=4, hooks=hooks)
    resumed = make_runner(tmp_path / 'part', 4, hooks=hooks, resume=True)
    resumed.train()
    assert len(history(resumed)) == 12
    assert list(resumed.message_hub.log_scalars) == list(whole.message_hub.log_scalars)
    for name in ('train/loss', 'train/lr'):
        np.testing.assert_array_equal(history(resumed, name), history(whole, name))
    states = [torch.load(tmp_path / part / 'epoch_4.pth') for part in ('whole', 'part')]
    for key in ('state_dict', *(['ema_state_dict'] if hooks else [])):
        for name, tensor in states[0][key].items():
            assert torch.equal(tensor, states[1][key][name])


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'safe_globals'), reason='refused before torch 2.5'
)
def test_a_checkpoint_written_without_the_hook_can_be_resumed(tmp_path):
    whole = make_runner(tmp_path / 'whole', 3)
    whole.train()
    train_until_killed(tmp_path / 'part', 1, max_epochs=3, safe=False)
    allowed = set(allow_list())
    resumed = make_runner(tmp_path / 'part', 3, resume=True)
    resumed.train()
    np.testing.assert_array_equal(history(resumed), history(whole))
    assert set(allow_list()) == allowed


def test_a_config_inside_a_checkpoint_is_never_executed(tmp_path):
    make_runner(tmp_path, 1).train()
    marker = tmp_path / 'marker'
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    checkpoint['meta']['config'] = f'import os\nos.system("touch {marker}")\n'
    torch.save(checkpoint, tmp_path / 'hostile.pth')
    make_runner(
        tmp_path / 'again', 2, resume=True, load_from=str(tmp_path / 'hostile.pth')
    ).train()
    assert not marker.exists()


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


@pytest.mark.parametrize('kind', [EducationRunner, Runner])
@pytest.mark.parametrize('resume', [True, False])
def test_a_bad_file_stops_the_run_before_training(tmp_path, resume, kind):
    marker = tmp_path / 'marker'
    torch.save(dict(state_dict={}, meta=Hostile(marker)), tmp_path / 'hostile.pth')
    (tmp_path / 'damaged.pth').write_bytes((tmp_path / 'hostile.pth').read_bytes()[:200])
    for name, reason in [
        ('hostile', 'system'),
        ('damaged', 'truncated'),
        ('missing', 'does not exist'),
    ]:
        path = str(tmp_path / f'{name}.pth')
        runner = make_runner(tmp_path / 'run', 1, kind=kind, resume=resume, load_from=path)
        with pytest.raises(ConfigurationError, match=reason):
            runner.train()
        assert runner.iter == 0 and not runner.message_hub.log_scalars
    assert not marker.exists()


def test_a_latest_checkpoint_that_is_damaged_stops_the_run(tmp_path):
    make_runner(tmp_path, 1).train()
    os.truncate(tmp_path / 'epoch_1.pth', 1000)
    with pytest.raises(ConfigurationError, match='epoch_1.pth'):
        make_runner(tmp_path, 2, resume=True).train()


def test_a_history_of_another_form_is_named(tmp_path):
    make_runner(tmp_path, 1).train()
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    checkpoint['message_hub']['log_scalars']['train/loss'] = dict(values=[1.0])
    torch.save(checkpoint, tmp_path / 'epoch_1.pth')
    with pytest.raises(ConfigurationError, match='"train/loss"'):
        make_runner(tmp_path, 2, resume=True).train()


def test_the_history_in_memory_is_not_touched_by_saving(tmp_path):
    runner = make_runner(tmp_path, 1)
    runner.train()
    assert all(
        isinstance(buffer, HistoryBuffer) for buffer in runner.message_hub.log_scalars.values()
    )
    runner.train_loop.run()
