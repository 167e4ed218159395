"""Whole captured steps, with a stand-in for the capturing itself, which needs a GPU (test_cuda.py)."""

import copy
import weakref

import pytest
import torch
from mmpretrain.structures import DataSample
from networks import build, images, kd_distiller, resnet
from tape_graph import TapeGraphs

from edudistill_mm.engine.bfloat16_optim_wrapper import BFloat16OptimWrapper
from edudistill_mm.engine.lazy_clip_optim_wrapper import LazyClipOptimWrapper
from edudistill_mm.models.algorithms.captured_loss import PATIENCE
from edudistill_mm.models.algorithms.captured_step import CapturedStep

pytestmark = pytest.mark.skipif(
    not CapturedStep.suits(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)),
    reason='this PyTorch has no fused SGD that suits',
)


@pytest.fixture
def make(teacher_file):
    def make(names=('one',), **options):
        grades = [
            dict(epochs=1, fragments=2, classes='all'),
            dict(epochs=1, fragments=3, classes=[]),
        ]
        teachers = [
            dict(
                name=name, architecture=resnet(6), ckpt=teacher_file(name, 6, seed), classes='all'
            )
            for seed, name in enumerate(names)
        ]
        torch.manual_seed(1)
        model = build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teachers=teachers,
                curriculum=dict(num_classes=6, grades=grades),
                distiller=kd_distiller(),
                **options,
            )
        )
        model.init_weights()
        return model.train()

    return make


def wrapper_of(model, kind=LazyClipOptimWrapper, clip=None, **options):
    # The wrapper takes its type out of the dict.
    clip = clip and dict(clip)
    options = dict(lr=0.05, momentum=0.9, weight_decay=1e-3) | options
    parameters = [dict(params=[p]) for p in model.parameters()]
    return kind(torch.optim.SGD(parameters, **options), clip_grad=clip)


def batch(count=8, seed=0):
    labels = torch.arange(count) % 6
    return dict(inputs=images(count, seed=seed), data_samples=[DataSample().set_gt_label(labels)])


def train(model, wrapper, rates, count=8, fused_from=None):
    """Losses of steps with learning rates, from one of them on with PyTorch's fused kernel."""
    log = []
    for step, rate in enumerate(rates):
        for group in wrapper.optimizer.param_groups:
            group['lr'] = rate
            group['fused'] = True if fused_from is not None and step >= fused_from else None
        log.append(model.train_step(batch(count, step % 4), wrapper)['loss'].item())
    return log


# Those that float32 knows.
RATES = [1 / 16] * (PATIENCE + 3) + [1 / 16 - step / 256 for step in range(8)]


@pytest.mark.parametrize('clip', [None, dict(max_norm=0.5), dict(type='value', clip_value=1e-3)])
@pytest.mark.parametrize(
    'options', [{}, dict(nesterov=True), dict(momentum=0), dict(momentum=0.8, dampening=0.3)]
)
@pytest.mark.parametrize('grade', [0, 1])
def test_captured_steps_train_what_plain_ones_do(make, options, clip, grade):
    plain, model = make(), make()
    graphs, wrapper = TapeGraphs(), wrapper_of(model, clip=clip, **options)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=graphs)
    reference = wrapper_of(plain, clip=clip, **options)
    for one in (model, plain):
        one.set_grade(one.curriculum.grades[grade])
    theirs = train(plain, reference, RATES, fused_from=PATIENCE)
    ours = train(model, wrapper, RATES)
    assert ours[:PATIENCE] == theirs[:PATIENCE]
    # PyTorch's fused kernel need not round alike for a rate in a tensor.
    assert ours == pytest.approx(theirs, rel=1e-5)
    # With its first step, momentum begins to be kept somewhere.
    assert graphs.replays == [len(RATES) - PATIENCE - (wrapper.optimizer.defaults['momentum'] > 0)]
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert wrapper._inner_count == reference._inner_count == len(RATES)
    # The optimizer is as if nothing had been captured.
    given = wrapper_of(make(), **options).optimizer.state_dict()['param_groups']
    rates = [dict(group, lr=RATES[-1]) for group in given]
    assert wrapper.optimizer.state_dict()['param_groups'] == rates
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize('ensemble', [False, True])
@pytest.mark.parametrize('weighting', ['average', 'entropy', 'confidence'])
def test_generalists_under_each_weighting_are_captured(make, weighting, ensemble):
    options = dict(teacher_weighting=weighting, teacher_ensemble=ensemble)
    plain, model = (make(('one', 'two'), **options) for _ in range(2))
    graphs, wrapper = TapeGraphs(), wrapper_of(model)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=graphs)
    theirs = train(plain, wrapper_of(plain), RATES, fused_from=PATIENCE)
    assert train(model, wrapper, RATES) == pytest.approx(theirs, rel=1e-5)
    assert len(graphs.replays) == 1


def test_a_promotion_captures_anew(make):
    model, graphs = make(), TapeGraphs()
    wrapper = wrapper_of(model)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=graphs)
    for grade in model.curriculum.grades:
        model.set_grade(grade)
        train(model, wrapper, RATES)
    assert graphs.replays == [len(RATES) - PATIENCE - 1] * 2


def test_a_grade_that_is_over_leaves_no_graph_behind(make):
    model, graphs = make(), TapeGraphs()
    wrapper = wrapper_of(model)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=graphs)
    train(model, wrapper, RATES)
    graph = weakref.ref(model.captured_loss._graph)
    assert graph() is not None
    model.set_grade(model.curriculum.grades[1])
    # Not only when the next one is captured.
    train(model, wrapper, [0.05])
    assert graph() is None and len(graphs.replays) == 1


def test_learning_rates_are_followed_without_capturing_anew(make):
    model, graphs = make(), TapeGraphs()
    wrapper = wrapper_of(model)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=graphs)
    train(model, wrapper, RATES)
    before = copy.deepcopy(model.state_dict())
    train(model, wrapper, [0.0])
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name
    # Each group has its own.
    first, *others = wrapper.optimizer.param_groups
    first['lr'] = 1.0
    model.train_step(batch(), wrapper)
    moved = [not torch.equal(p, before[name]) for name, p in model.named_parameters()]
    assert moved == [True] + [False] * len(others)
    assert len(graphs.replays) == 1


def test_other_settings_and_a_new_state_of_the_optimizer_capture_anew(make):
    model, graphs = make(), TapeGraphs()
    wrapper = wrapper_of(model)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=graphs)

    def captures():
        before = len(graphs.replays)
        train(model, wrapper, [0.05] * (PATIENCE + 2))
        return len(graphs.replays) - before

    assert captures() == 1 and captures() == 0
    wrapper.optimizer.param_groups[0]['weight_decay'] = 0.1
    assert captures() == 1
    wrapper.optimizer.state.clear()
    assert captures() == 1
    wrapper.optimizer.load_state_dict(copy.deepcopy(wrapper.optimizer.state_dict()))
    assert captures() == 1


def test_frozen_and_replaced_parameters_capture_anew(make):
    model, graphs = make(), TapeGraphs()
    wrapper = wrapper_of(model)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=graphs)
    train(model, wrapper, RATES)
    parameter = model.student.student.backbone.conv1.weight
    parameter.requires_grad_(False)
    before = parameter.clone()
    train(model, wrapper, RATES)
    assert torch.equal(parameter, before)
    parameter.requires_grad_(True)
    parameter.data = before.clone()
    train(model, wrapper, RATES)
    assert not torch.equal(parameter, before)
    assert len(graphs.replays) == 3


def test_momenta_of_another_memory_format_are_laid_out_as_the_weights(make):
    """A fused kernel needs that; a run may be resumed with ``channels_last`` switched."""
    model = make()
    wrapper = wrapper_of(model)
    train(model, wrapper, RATES[:2])
    weight = model.student.student.backbone.conv1.weight
    state = wrapper.optimizer.state[weight]
    values = state['momentum_buffer'].clone()
    state['momentum_buffer'] = values.to(memory_format=torch.channels_last)
    assert state['momentum_buffer'].stride() != weight.stride()
    CapturedStep(model, wrapper)
    assert state['momentum_buffer'].stride() == weight.stride()
    assert torch.equal(state['momentum_buffer'], values)


def test_rates_are_those_of_the_groups_that_a_state_has_made(make):
    model = make()
    wrapper = wrapper_of(model, momentum=0)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=TapeGraphs())
    train(model, wrapper, RATES)
    wrapper.optimizer.load_state_dict(copy.deepcopy(wrapper.optimizer.state_dict()))
    before = copy.deepcopy(dict(model.named_parameters()))
    train(model, wrapper, [0.0])
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_the_norm_of_gradients_is_logged_as_ever(make):
    norms = []
    for captured in (False, True):
        model = make()
        wrapper = wrapper_of(model, clip=dict(max_norm=0.5))
        if captured:
            model.captured_loss = CapturedStep(model, wrapper, make_graph=TapeGraphs())
        wrapper.message_hub.log_scalars.pop('train/grad_norm', None)
        train(model, wrapper, RATES)
        norms.append(wrapper.message_hub.get_scalar('train/grad_norm').data[0].tolist())
    assert len(norms[0]) == len(RATES)
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)


def test_under_bfloat16_forward_passes_alone_are_autocast(make):
    plain, model = make(), make()
    wrapper = wrapper_of(model, BFloat16OptimWrapper)
    model.captured_loss = CapturedStep(model, wrapper, make_graph=TapeGraphs())
    ours = train(model, wrapper, RATES)
    theirs = train(plain, wrapper_of(plain, BFloat16OptimWrapper), RATES)
    assert ours == pytest.approx(theirs, rel=0.02)
    assert ours[:5] == pytest.approx(theirs[:5], rel=1e-5)
    assert {value.dtype for value in model.state_dict().values()} <= {torch.float32, torch.int64}


def test_what_has_a_say_in_the_update_leaves_it_in_python():
    parameter = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([parameter], 0.1)
    assert CapturedStep.suits(sgd)
    assert not CapturedStep.suits(torch.optim.AdamW([parameter]))
    sgd.register_step_pre_hook(lambda *_: None)
    assert not CapturedStep.suits(sgd)
