"""Runs whose teachers' answers are kept: losses, resuming, and what is refused."""

from importlib import import_module

import mmengine.config.config
import pytest
from killed_runs import write_config

from edudistill_mm.apis.train import prepare_runtime, train
from edudistill_mm.config.load import load_config
from edudistill_mm.engine.grade_data import answers_folder
from edudistill_mm.errors import ConfigurationError


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Function that trains by a config in a folder, and returns the losses of all steps."""

    # Prettily formatted configs take more time than the training.
    monkeypatch.setattr(
        mmengine.config.config, 'FormatCode', lambda text, **_: (text, True), False
    )

    def run(name, amp=False, resume=None, change=lambda cfg: None, **options):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        path = write_config(folder, **options)
        config = load_config(str(path), {'randomness.seed': 3}, str(folder / 'runs' / 'run'))
        change(config.cfg)
        prepare_runtime(config.cfg, amp=amp)
        run.runner = train(config, resume, with_teacher_test=False)
        history = run.runner.message_hub.log_scalars['train/loss']
        return list(history.data[0])

    return run


EXACT = dict(dtype='float32')


@pytest.mark.parametrize(
    'options, amp, change',
    [
        (dict(lengths=(1, 1, 1)), False, {}),
        pytest.param(
            dict(lengths=(1, 1, 1)),
            False,
            {'train_dataloader.sampler.shuffle': False},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            dict(lengths=(1, 1, 1), accumulate=2, ema=dict(type='EMAHook', momentum=0.2)),
            True,
            {'model.channels_last': True},
            marks=pytest.mark.slow,
        ),
        pytest.param(dict(by_epoch=False), False, {}, marks=pytest.mark.slow),
    ],
    ids=['epochs', 'in order', 'amp-ema-accumulation-channels_last', 'iterations'],
)
def test_a_run_with_kept_answers_has_the_losses_of_one_without(trained, options, amp, change):
    def both(cfg):
        cfg.merge_from_dict(change)
        # So slow that rounding does not grow.
        cfg.optim_wrapper.optimizer.lr = 1e-4

    plain = trained('plain', amp, change=both, keep_answers=False, **options)
    kept = trained('kept', amp, change=both, keep_answers=EXACT, **options)
    # Under autocast a score has 8 bits, and depends on the others of its batch.
    tolerance = 1e-2 if amp else 1e-5
    assert kept == pytest.approx(plain, rel=tolerance, abs=tolerance) and len(kept) > 8
    teachers = trained.runner.model.faculty.teachers
    assert all(teacher.answers is not None for teacher in teachers)
    asked = sum(t.answers.wanted - len(t.answers.missing()) for t in teachers)
    assert len(teachers) < asked < sum(t.answers.wanted for t in teachers)


@pytest.mark.slow
def test_another_run_beside_it_asks_nothing_that_a_run_has_asked(trained, monkeypatch):
    module = import_module('edudistill_mm.models.teachers.answers.open_answers')
    plain, asked = module._ask, []
    monkeypatch.setattr(module, '_ask', lambda *args: asked.append(len(args[-1])) or plain(*args))
    first = trained('run', keep_answers=True, lengths=(1, 1, 1))
    assert sum(asked) > 20
    asked.clear()

    def beside(cfg):
        cfg.work_dir += '_2'

    assert trained('run', change=beside, keep_answers=True, lengths=(1, 1, 1)) == first
    # Each teacher is recognised by one answer.
    assert asked == [1, 1, 1]


@pytest.mark.slow
def test_keeping_may_begin_where_a_run_is_resumed(trained):
    def keep_all(cfg):
        cfg.default_hooks.checkpoint.max_keep_ckpts = -1

    plain = trained('run', change=keep_all, keep_answers=False, lengths=(1, 1, 1))
    first = trained.runner.work_dir
    again = trained(
        'run',
        resume=f'{first}/epoch_2.pth',
        change=keep_all,
        keep_answers=EXACT,
        lengths=(1, 1, 1),
    )
    assert again == pytest.approx(plain, rel=1e-3)
    assert any(t.answers is not None for t in trained.runner.model.faculty.teachers)


# ---- which folder
def test_answers_lie_beside_the_work_dir_or_where_a_comparison_has_a_place_for_them(tmp_path):
    seed = tmp_path / 'compare' / 'row' / 'seed_0'
    assert answers_folder(str(seed)) == str(tmp_path / 'compare' / 'row' / 'answers')
    (tmp_path / 'compare' / 'answers').mkdir(parents=True)
    assert answers_folder(str(seed)) == str(tmp_path / 'compare' / 'answers')
    (tmp_path / 'compare' / 'row' / 'answers').mkdir(parents=True)
    assert answers_folder(str(seed)) == str(tmp_path / 'compare' / 'row' / 'answers')
    # A run that is no row has its own, though another run has some one folder up.
    (tmp_path / 'answers').mkdir()
    run = tmp_path / 'group' / 'run'
    assert answers_folder(str(run)) == str(tmp_path / 'group' / 'answers')


# ---- what is refused
def without_resident(cfg):
    cfg.train_dataloader.resident = False


def with_erasing(cfg):
    cfg.train_dataloader.dataset.pipeline.insert(0, dict(type='RandomErasing'))


def wrapped_for_validation(cfg):
    loader = cfg.train_dataloader
    loader.resident = False
    loader.dataset = dict(type='ResidentDataset', dataset=loader.dataset)
    loader.collate_fn = dict(type='whole_batch')


def with_another_recipe(cfg):
    recipe = dict(action_epoch=1, train_pipeline=[dict(type='PackInputs')])
    cfg.custom_hooks.append(dict(type='SwitchRecipeHook', schedule=[recipe]))


@pytest.mark.parametrize(
    'change, sentence',
    [
        (
            without_resident,
            'needs resident data, but .* PipedImages; set train_dataloader.resident=True',
        ),
        (with_erasing, r'needs views that can be counted, .*resident=dict\(views_per_image=16\)'),
        (wrapped_for_validation, 'needs a ResidentDataset with training=True'),
        (with_another_recipe, 'has "train_pipeline", but the answers of teacher "low" are kept'),
    ],
)
def test_data_without_views_are_refused_before_the_first_step(trained, change, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        trained('run', change=change, keep_answers=True)


@pytest.mark.slow
def test_fixed_views_make_any_transform_one_whose_answers_are_kept(trained):
    def change(cfg):
        with_erasing(cfg)
        cfg.train_dataloader.resident = dict(views_per_image=2)

    trained('run', change=change, keep_answers=True, lengths=(1, 1, 1))
    teachers = trained.runner.model.faculty.teachers
    assert [t.answers.table.num_views for t in teachers] == [2, 2, 2]
