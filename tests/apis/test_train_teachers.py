import multiprocessing
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from edudistill_mm.apis.folder_lock import hold_folder
from edudistill_mm.apis.teachers import other_recipes, teacher_config, train_teachers
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


@HOOKS.register_module(force=True)
class PowerCut(Hook):
    """Counts training epochs, and stops the process after some of them."""

    epochs_left = None
    begun = []

    def before_train_epoch(self, runner):
        self.begun.append(runner.epoch)

    def after_train_epoch(self, runner):
        if PowerCut.epochs_left is not None:
            PowerCut.epochs_left -= 1
            if PowerCut.epochs_left < 0:
                raise KeyboardInterrupt


@pytest.fixture
def digits(tmp_path):
    """The digits job with its first teacher alone missing."""

    def load(**options):
        cfg = load_config(
            str(ROOT / 'configs' / 'edu_kd_digits.py'),
            {
                'model.teachers.0.ckpt': str(tmp_path / 'teacher.pth'),
                'teacher_training.train_cfg.max_epochs': 3,
                'teacher_training.default_hooks.checkpoint.interval': 1,
                **options,
            },
            str(tmp_path / 'run'),
        ).cfg
        for index, teacher in enumerate(cfg.model.teachers[1:]):
            teacher.ckpt = str(tmp_path / f'other{index}.pth')
            Path(teacher.ckpt).touch()
        cfg.custom_hooks.append(dict(type='PowerCut'))
        return cfg

    PowerCut.begun.clear()
    PowerCut.epochs_left = None
    return load


def test_an_interrupted_training_of_a_teacher_goes_on_where_it_was(digits, tmp_path):
    PowerCut.epochs_left = 1
    with pytest.raises(KeyboardInterrupt):
        train_teachers(RunConfig(digits()))
    assert PowerCut.begun == [0, 1]
    assert not (tmp_path / 'teacher.pth').exists()

    PowerCut.epochs_left = None
    train_teachers(RunConfig(digits()))
    # The second epoch was cut before its checkpoint.
    assert PowerCut.begun == [0, 1, 1, 2]
    state = torch.load(tmp_path / 'teacher.pth', weights_only=True)['state_dict']
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


@pytest.mark.slow
def test_a_training_whose_config_has_changed_begins_anew(digits, tmp_path):
    PowerCut.epochs_left = 1
    with pytest.raises(KeyboardInterrupt):
        train_teachers(RunConfig(digits()))
    PowerCut.begun.clear()
    PowerCut.epochs_left = None
    train_teachers(RunConfig(digits(**{'optim_wrapper.optimizer.lr': 0.01})))
    assert PowerCut.begun == [0, 1, 2]


def test_a_teacher_that_another_run_is_training_is_waited_for(digits, tmp_path, capsys):
    cfg = digits()
    begun, told = threading.Event(), threading.Event()

    def another_run():
        with hold_folder(str(tmp_path / 'teacher')):
            begun.set()
            told.wait()
            (tmp_path / 'teacher.pth').touch()

    threading.Thread(target=another_run, daemon=True).start()
    begun.wait()
    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(sleep=lambda seconds: told.set(), strftime=time.strftime)
        patch.setattr('edudistill_mm.apis.folder_lock.time', clock)
        train_teachers(RunConfig(cfg))
    assert PowerCut.begun == [] and (tmp_path / 'teacher.pth').exists()
    assert 'Another run is at it; waiting for its end (process ' in capsys.readouterr().out


def test_the_generalist_of_a_config_of_mmrazor_is_trained_by_the_runs_recipe(tmp_path):
    cfg = load_config(
        str(ROOT / 'configs' / 'digits' / 'kd_resnet14x2_resnet14_digits.py'),
        {
            'model.teacher_ckpt': str(tmp_path / 'wide.pth'),
            'teacher_training.train_cfg.max_epochs': 1,
            'train_dataloader.dataset.indices': 64,
            'val_cfg.type': 'mmrazor.SingleTeacherDistillValLoop',
        },
        str(tmp_path / 'run'),
    ).cfg
    # What belongs to the distillation is none of the teacher's business.
    cfg.custom_hooks.append(dict(type='DistillWarmupHook', epochs=1))
    assert train_teachers(RunConfig(cfg)) == [str(tmp_path / 'wide.pth')]
    state = torch.load(tmp_path / 'wide.pth', weights_only=True)['state_dict']
    assert state['head.fc.weight'].shape == (10, 128)
    assert train_teachers(RunConfig(cfg)) == []


def test_outputs_of_a_network_that_is_not_there_cannot_be_trained(digits, tmp_path):
    cfg = digits()
    cfg.model.teachers[0].outputs = [0, 1, 2, 3]
    with pytest.raises(
        ConfigurationError, match=r'teacher "primary" cannot be trained .*"outputs"'
    ):
        train_teachers(RunConfig(cfg))


@pytest.mark.parametrize(
    'key, value', [('input_size', 16), ('channel_order', 'bgr'), ('data_preprocessor', 'own')]
)
def test_a_teacher_that_sees_other_images_than_the_student_cannot_be_trained(digits, key, value):
    cfg = digits()
    cfg.model.teachers[0][key] = value
    with pytest.raises(ConfigurationError, match=rf'"primary" cannot be trained .*"{key}"'):
        train_teachers(RunConfig(cfg))


def test_a_teacher_of_another_recipe_is_told(digits):
    def remarks(**options):
        return list(other_recipes(RunConfig(digits(**options))))

    length = 'teacher_training.train_cfg.max_epochs'
    train_teachers(RunConfig(digits(**{length: 1})))
    # Those that were brought have no recipe, and the student's own changes nothing.
    assert remarks(**{length: 1, 'optim_wrapper.optimizer.lr': 0.01}) == []
    (remark,) = remarks(**{length: 2})
    assert 'teacher "primary" was trained by' in remark
    assert 'train_cfg.max_epochs is 2, was 1' in remark and 'teacher.pth" and train' in remark
    (remark,) = remarks(**{length: 1, 'train_dataloader.batch_size': 8})
    assert 'train_dataloader.batch_size is 8' in remark


def test_averaged_weights_are_those_of_the_teacher(digits, tmp_path):
    cfg = digits(**{'teacher_training.train_cfg.max_epochs': 1})
    cfg.custom_hooks.append(dict(type='EMAHook', ema_type='ExponentialMovingAverage'))
    train_teachers(RunConfig(cfg), ['primary'])
    # MMEngine's checkpoints hold the averaged weights, which were validated, as state_dict.
    checkpoint = torch.load(tmp_path / 'teacher' / 'epoch_1.pth', weights_only=False)
    teacher = torch.load(tmp_path / 'teacher.pth', weights_only=True)['state_dict']
    assert set(teacher) == set(checkpoint['state_dict'])
    for name, tensor in checkpoint['state_dict'].items():
        assert torch.equal(teacher[name], tensor.cpu()), name
    raw = checkpoint['ema_state_dict']['module.head.fc.weight']
    assert not torch.equal(teacher['head.fc.weight'], raw.cpu())


def test_data_of_teacher_training_are_those_that_an_expert_gets_its_classes_of(digits):
    cfg = digits(**{'teacher_training.train_dataloader.dataset.indices': 200})
    dataset = teacher_config(RunConfig(cfg), cfg.model.teachers[1]).train_dataloader.dataset
    assert dataset.type == 'ClassSubset' and list(dataset.classes) == [4, 5, 6]
    assert dataset.dataset.type == 'Digits' and dataset.dataset.indices == 200
    assert 'indices' not in dataset


def test_teachers_can_be_trained_one_by_one(digits, tmp_path):
    cfg = digits(**{'teacher_training.train_cfg.max_epochs': 1})
    Path(cfg.model.teachers[2].ckpt).unlink()
    assert train_teachers(RunConfig(cfg), ['middle']) == []
    assert train_teachers(RunConfig(cfg), ['primary']) == [str(tmp_path / 'teacher.pth')]
    assert not Path(cfg.model.teachers[2].ckpt).exists()
    with pytest.raises(ConfigurationError, match='no teacher "midle" .did you mean "middle"'):
        train_teachers(RunConfig(cfg), ['midle'])


@pytest.mark.parametrize('width', [None, 10])
def test_an_expert_is_trained_with_one_hot_labels_of_its_own_classes(digits, tmp_path, width):
    cfg = digits(
        **{
            'teacher_training.train_cfg.max_epochs': 1,
            'train_dataloader.dataset.indices': 64,
            'data_preprocessor.to_onehot': True,
            'data_preprocessor.num_classes': width,
        }
    )
    # Its plain cross-entropy refuses the integers that MMPretrain makes.
    assert train_teachers(RunConfig(cfg), ['primary']) == [str(tmp_path / 'teacher.pth')]


@pytest.mark.parametrize(
    'train_cfg', [dict(by_epoch=True, max_epochs=1), dict(by_epoch=False, max_iters=1)]
)
@pytest.mark.parametrize('persistent', [True, False])
def test_no_worker_process_of_a_teachers_training_is_left(digits, train_cfg, persistent):
    cfg = digits(**{'train_dataloader.dataset.indices': 64})
    cfg.teacher_training.train_cfg = dict(train_cfg, _delete_=True)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=1, persistent_workers=persistent)
    before = set(multiprocessing.active_children())
    train_teachers(RunConfig(cfg))
    assert set(multiprocessing.active_children()) <= before
