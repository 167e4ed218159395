import pytest
from mmengine.config import Config
from mmengine.registry import MODEL_WRAPPERS
from networks import build, kd_distiller, resnet
from runs import school_config
from torch import nn

from edudistill_mm.apis.ranks import print_error_once
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.ranks import check_ranks, wrap_for_ranks
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.engine import EducationRunner, join_ranks
from edudistill_mm.errors import ConfigurationError

DEEPENING = [dict(epochs=1, fragments=1, classes=6), dict(epochs=1, fragments=3)]
WHOLE = [dict(epochs=1, classes=6)]


def algorithm(grades, classes='all', connector=False):
    """An algorithm with one teacher."""
    distiller = kd_distiller()
    if connector:
        distiller['connectors'] = dict(
            wider=dict(
                type='TorchNNConnector',
                module_name='Linear',
                module_args=dict(in_features=6, out_features=6),
            )
        )
    teacher = dict(
        name='teacher', architecture=build(resnet(6 if classes == 'all' else 2)), classes=classes
    )
    return build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=[teacher],
            distiller=distiller,
            curriculum=dict(num_classes=6, grades=grades),
        )
    )


def wrapped(**settings):
    """A config for several processes."""
    config = Config(dict(launcher='pytorch', **settings))
    wrap_for_ranks(config)
    return config


def test_a_wrapper_keeps_what_the_user_has_set():
    given = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=True,
        static_graph=True,
        find_unused_parameters=False,
    )
    found = wrapped(model_wrapper_cfg=dict(given)).model_wrapper_cfg
    assert {key: found[key] for key in given} == given


def test_without_settings_the_wrapper_is_that_of_mmengine_and_allows_for_unused_parameters():
    found = wrapped().model_wrapper_cfg
    assert found.type == 'MMDistributedDataParallel'
    assert found.find_unused_parameters is True and found.broadcast_buffers is False
    # torch's default, where MMEngine's is not asked for
    assert (
        'broadcast_buffers'
        not in wrapped(model_wrapper_cfg=dict(bucket_cap_mb=5)).model_wrapper_cfg
    )


@pytest.mark.parametrize(
    'settings',
    [dict(static_graph=True), dict(find_unused_parameters=False)],
)
def test_a_fixed_graph_is_refused_where_grades_or_batches_change_it(settings):
    config = wrapped(model_wrapper_cfg=settings)
    key = next(iter(settings))
    with pytest.raises(ConfigurationError, match=f'model_wrapper_cfg.{key} must be .* depth'):
        check_ranks(config, algorithm(DEEPENING))
    expert = algorithm(WHOLE, classes=[1, 3], connector=True)
    with pytest.raises(ConfigurationError, match=f'model_wrapper_cfg.{key} must be .* connectors'):
        check_ranks(config, expert)


@pytest.mark.parametrize('classes, connector', [('all', True), ([1, 3], False)])
def test_a_fixed_graph_is_possible_where_nothing_changes_it(classes, connector):
    for settings in (dict(static_graph=True), dict(find_unused_parameters=False)):
        check_ranks(wrapped(model_wrapper_cfg=settings), algorithm(WHOLE, classes, connector))


@pytest.mark.parametrize(
    'kind', ['MMFullyShardedDataParallel', 'MMSeparateDistributedDataParallel', 'DataParallel']
)
def test_other_wrappers_are_refused(kind):
    assert MODEL_WRAPPERS.get(kind) is not None
    with pytest.raises(
        ConfigurationError, match=f'model_wrapper_cfg.type must be .* but got "{kind}"'
    ):
        check_ranks(wrapped(model_wrapper_cfg=dict(type=kind)), algorithm(WHOLE))


def test_a_flexible_runner_is_refused_before_training():
    config = Config(dict(runner_type='FlexibleRunner'))
    with pytest.raises(ConfigurationError, match='runner_type is "FlexibleRunner"'):
        check_ranks(config, algorithm(WHOLE))


def test_a_misspelt_runner_is_known_for_what_it_was_to_be():
    config = Config(dict(runner_type='EducationRuner'))
    with pytest.raises(
        ConfigurationError, match=r'"EducationRuner" \(did you mean "EducationRunner"'
    ):
        check_ranks(config, algorithm(WHOLE))


@pytest.mark.cpu
def test_synchronised_batchnorm_is_refused_without_gpus():
    with pytest.raises(ConfigurationError, match='sync_bn asks for .* on GPUs only'):
        check_ranks(wrapped(sync_bn='torch'), algorithm(WHOLE))
    with pytest.raises(ConfigurationError, match=r'sync_bn must be .*did you mean "torch"'):
        check_ranks(wrapped(sync_bn='toch'), algorithm(WHOLE))
    student = algorithm(WHOLE)
    student.architecture.backbone.bn1 = nn.SyncBatchNorm(4)
    with pytest.raises(ConfigurationError, match='model.architecture.backbone.bn1 asks for'):
        check_ranks(wrapped(), student)
    # One process turns it back.
    check_ranks(Config(dict(sync_bn='torch')), student)


@pytest.mark.parametrize(
    'launcher, variable',
    [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')],
)
def test_a_launcher_that_has_started_nothing_is_one_sentence(launcher, variable, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigurationError, match=f'--launcher {launcher} needs .* {variable}'):
        join_ranks.join_ranks(Config(), launcher)


def test_a_launcher_that_there_is_not_is_named():
    with pytest.raises(ConfigurationError, match='launcher must be one of pytorch, slurm, mpi'):
        join_ranks.join_ranks(Config(), 'pytorh')


def test_the_runner_alone_says_that_nothing_was_launched(tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    config = school_config(tmp_path)
    config.launcher = 'pytorch'
    with pytest.raises(ConfigurationError, match='--launcher pytorch needs .* RANK'):
        EducationRunner.from_cfg(config)


def test_before_processes_know_each_other_the_first_of_a_machine_speaks(monkeypatch, capsys):
    """How they speak later is tested in tests/reliability/test_several_processes.py."""
    for variable in ('LOCAL_RANK', 'SLURM_LOCALID', 'OMPI_COMM_WORLD_LOCAL_RANK'):
        for rank, printed in (('0', 'error: a mistake\n'), ('1', '')):
            monkeypatch.setenv(variable, rank)
            print_error_once('a mistake')
            assert capsys.readouterr().err == printed
        monkeypatch.delenv(variable)
    print_error_once('a mistake')
    assert capsys.readouterr().err == 'error: a mistake\n'


def test_more_processes_than_gpus_are_one_sentence(monkeypatch):
    # The machines of the tests have no GPUs to count.
    monkeypatch.setattr(join_ranks.torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    with pytest.raises(ConfigurationError, match='4 processes .* 2 GPUs'):
        join_ranks._check_gpus(0)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    join_ranks._check_gpus(1)


def test_check_config_looks_at_the_runner(tmp_path):
    config = school_config(tmp_path)
    config.runner_type = 'FlexibleRunner'
    with pytest.raises(ConfigurationError, match='FlexibleRunner'):
        check_config(RunConfig(config))
