import pytest
import torch
from mmengine.config import Config

from edudistill_mm.compat import compiles_students
from edudistill_mm.config import precision
from edudistill_mm.config.precision import check_compile, prepare_precision
from edudistill_mm.errors import ConfigurationError

needs_compiler = pytest.mark.skipif(
    not compiles_students(), reason='torch.compile of torch 2.1 is refused altogether'
)


def config(**wrapper):
    return Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), **wrapper)))


@pytest.fixture
def gpu(monkeypatch):
    """What MMEngine says on a machine with a GPU."""
    monkeypatch.setattr(precision, 'get_device', lambda: 'cuda')


def test_without_amp_the_wrapper_stays_as_it_is():
    cfg = config()
    prepare_precision(cfg)
    assert 'type' not in cfg.optim_wrapper


@pytest.mark.cpu
@pytest.mark.parametrize(
    'wrapper',
    [
        dict(),
        dict(type='OptimWrapper', dtype='bfloat16'),
        dict(type='AmpOptimWrapper', loss_scale=512, use_fsdp=False),
    ],
)
def test_on_a_cpu_amp_is_bfloat16_without_a_loss_scale(wrapper):
    cfg = config(accumulative_counts=2, **wrapper)
    prepare_precision(cfg, amp=True)
    assert cfg.optim_wrapper == dict(
        type='BFloat16OptimWrapper', optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2
    )


@pytest.mark.cpu
def test_on_a_cpu_a_config_that_names_mmengines_wrapper_gets_bfloat16_without_the_option():
    cfg = config(type='AmpOptimWrapper', loss_scale='dynamic', dtype=torch.bfloat16)
    prepare_precision(cfg)
    assert cfg.optim_wrapper == dict(
        type='BFloat16OptimWrapper', optimizer=dict(type='SGD', lr=0.1)
    )


def test_on_a_gpu_amp_is_mmengines_wrapper_with_a_dynamic_loss_scale(gpu):
    cfg = config()
    prepare_precision(cfg, amp=True)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    assert 'dtype' not in cfg.optim_wrapper


def test_on_a_gpu_dtype_and_loss_scale_of_the_config_stay(gpu):
    cfg = config(dtype='bfloat16', loss_scale=512)
    prepare_precision(cfg, amp=True)
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    # MMEngine's wrapper takes no integer.
    assert isinstance(cfg.optim_wrapper.loss_scale, float)
    assert cfg.optim_wrapper.loss_scale == 512


@pytest.mark.parametrize(
    ('wrapper', 'message'),
    [
        (dict(dtype='float8'), 'dtype must be one of float16, bfloat16, but got .float8.'),
        (dict(dtype='bfloat'), 'did you mean "bfloat16"'),
        pytest.param(dict(dtype='float16'), 'dtype="float16" needs a GPU', marks=pytest.mark.cpu),
        (dict(loss_scale='dynamik'), 'loss_scale must be "dynamic", .* but got .dynamik.'),
        (dict(loss_scale=0), 'loss_scale must be .* but got 0'),
        (dict(loss_scale=True), 'loss_scale must be .* but got True'),
        (
            dict(type='ApexOptimWrapper'),
            'needs optim_wrapper.type .* but it is "ApexOptimWrapper"',
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrapper, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        prepare_precision(config(**wrapper), amp=True)
    assert '\n' not in str(error.value)


def test_amp_without_an_optimizer_is_refused():
    with pytest.raises(ConfigurationError, match='--amp needs optim_wrapper'):
        prepare_precision(Config(dict(model=dict())), amp=True)


@needs_compiler
@pytest.mark.parametrize('value', [None, True, False, dict(backend='eager', dynamic=True)])
def test_compile_takes_what_torch_takes(value):
    check_compile(Config(dict(compile=value)))


@needs_compiler
@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ('yes', "compile must be True, False or a dict .* but got 'yes'"),
        (dict(backnd='eager'), 'unknown key "backnd" .did you mean "backend"'),
        (dict(backend='inducktor'), 'backend "inducktor" .* .did you mean "inductor"'),
        (dict(fullgraph=True), 'fullgraph=True is not possible'),
        (dict(mode='max-autotun'), 'compile.mode must be one of .* .did you mean "max-autotune"'),
    ],
)
def test_a_wrong_compile_is_refused(value, message):
    with pytest.raises(ConfigurationError, match=message):
        check_compile(Config(dict(compile=value)))


def test_compile_is_refused_on_a_torch_that_cannot(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.1.2')
    with pytest.raises(
        ConfigurationError, match='compile needs torch 2.2 or later, but torch 2.1.2'
    ):
        check_compile(Config(dict(compile=True)))
    check_compile(Config(dict(compile=False)))
