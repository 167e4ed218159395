import copy

import pytest
import torch

from edudistill_mm.checkpoint.form import check_form
from edudistill_mm.checkpoint.load_checks import check_optimizer, check_weights
from edudistill_mm.errors import ConfigurationError

GOOD = dict(
    meta=dict(epoch=1, iter=3),
    state_dict=dict(weight=torch.ones(2, 2), bias=torch.ones(2)),
    message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
    optimizer=dict(state={0: dict(momentum_buffer=torch.ones(2))}, param_groups=[dict(lr=0.1)]),
    param_schedulers=[dict(last_step=3)],
)


def changed(**parts):
    return {**copy.deepcopy(GOOD), **parts}


def test_a_training_checkpoint_passes():
    check_form(GOOD, 'x.pth', resume=True)
    check_weights(GOOD, 'x.pth', torch.nn.Linear(2, 2), '')
    check_optimizer(GOOD, 'x.pth')


@pytest.mark.parametrize(
    'parts, sentence',
    [
        (dict(meta=3), 'meta must be a dict, but is of type int'),
        (dict(meta=dict(epoch=1)), 'meta.iter is missing'),
        (
            dict(meta=dict(epoch=True, iter=1)),
            'meta.epoch must be an integer, but is of type bool',
        ),
        (dict(state_dict=[]), 'state_dict must be a dict, but is of type list'),
        (dict(state_dict=dict(a='b')), 'state_dict.a must be a tensor, but is of type str'),
        (dict(param_schedulers=[{}]), 'param_schedulers[0].last_step is missing'),
        (
            dict(optimizer=None),
            'optimizer is missing: it was saved as the best one, or with save_optimizer=False',
        ),
        (
            dict(optimizer=None, message_hub=None),
            'message_hub is missing: it was saved as the best one',
        ),
    ],
)
def test_the_part_that_is_wrong_is_named(parts, sentence):
    checkpoint = {key: value for key, value in changed(**parts).items() if value is not None}
    with pytest.raises(ConfigurationError) as error:
        check_form(checkpoint, 'x.pth', resume=True)
    assert str(error.value).startswith('cannot resume from "x.pth": ')
    if parts.get('message_hub', 0) is not None:
        assert sentence in str(error.value)
    else:
        assert 'weights alone' in str(error.value)


def test_weights_alone_are_enough_for_a_test():
    check_form(dict(state_dict=GOOD['state_dict']), 'x.pth', resume=False)
    with pytest.raises(ConfigurationError, match='cannot use "x.pth": meta must be a dict'):
        check_form(dict(state_dict={}, meta=[]), 'x.pth', resume=False)


def test_what_a_training_goes_on_with_is_not_asked_for_in_a_test():
    education, form = dict(grade='low', seen=[0, 1]), dict(grade=str, seen=[int], curriculum=dict)
    checkpoint = changed(meta=dict(epoch=1, iter=3, education=education))
    check_form(checkpoint, 'x.pth', resume=False, education=form)
    with pytest.raises(ConfigurationError, match='meta.education.curriculum is missing'):
        check_form(checkpoint, 'x.pth', resume=True, education=form)


@pytest.mark.parametrize(
    'state, words',
    [
        (dict(weight=torch.ones(2, 2)), 'lacks 1 of 2 .* "bias"'),
        (dict(weight=torch.ones(3, 2), bias=torch.ones(2)), r'"weight" is \(3, 2\)'),
        (dict(weight=torch.ones(2, 2).int(), bias=torch.ones(2)), 'holds int32, .* float32'),
        (dict(GOOD['state_dict'], more=torch.ones(1)), '1 tensors more, .* "more"'),
    ],
)
def test_weights_of_another_network_are_named_unless_a_part_is_enough(state, words):
    network = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigurationError, match=words):
        check_weights(changed(state_dict=state), 'x.pth', network, '')
    check_weights(changed(state_dict=state), 'x.pth', network, None)


def test_values_that_are_no_numbers_are_found_in_weights_averages_and_optimizer():
    broken = dict(GOOD['state_dict'], bias=torch.tensor([1.0, float('nan')]))
    network = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigurationError, match='the first in "bias"'):
        check_weights(changed(state_dict=broken), 'x.pth', network, None)
    averaged = {f'module.{name}': tensor for name, tensor in broken.items()}
    with pytest.raises(ConfigurationError, match='the first in ema_state_dict: "bias"'):
        check_weights(changed(ema_state_dict=averaged), 'x.pth', network, None)
    state = {3: dict(exp_avg=[torch.ones(1), torch.tensor([float('inf')])])}
    with pytest.raises(ConfigurationError, match='optimizer.state.3.exp_avg.1 holds'):
        check_optimizer(changed(optimizer=dict(state=state)), 'x.pth')


def test_a_buffer_that_is_infinite_by_nature_may_be_so():
    network = torch.nn.BatchNorm1d(2)
    network.register_buffer('mask', torch.tensor([0.0, float('-inf')]))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    check_weights(dict(state_dict=state), 'x.pth', network, '')
    state['running_var'][0] = float('inf')
    with pytest.raises(ConfigurationError, match='running_var'):
        check_weights(dict(state_dict=state), 'x.pth', network, '')
