import pytest
import torch
from torch import nn

from edudistill_mm.checkpoint.state_dict_checks import check_finite
from edudistill_mm.errors import ConfigurationError


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_the_first_weight_that_is_no_number_is_named_with_its_file(value):
    network = nn.Linear(2, 2)
    state = {'weight': torch.ones(2, 2), 'bias': torch.tensor([0.0, value])}
    with pytest.raises(ConfigurationError) as error:
        check_finite(state, network, 'checkpoint "a.pth"', '"fc.{}"')
    assert str(error.value) == (
        'checkpoint "a.pth" holds weights that are no numbers (NaN or infinite), the first in "fc.bias"'
    )


def test_a_mask_may_be_infinite_where_that_of_the_network_is():
    network = nn.Module()
    network.register_buffer('mask', torch.tensor([0.0, float('-inf')]))
    check_finite({'mask': torch.tensor([float('-inf'), 0.0])}, network, 'it')
    network.mask.zero_()
    with pytest.raises(ConfigurationError, match='"mask"'):
        check_finite({'mask': torch.tensor([float('-inf'), 0.0])}, network, 'it')


def test_tensors_of_other_names_and_whole_numbers_do_no_harm():
    network = nn.BatchNorm1d(2)
    state = dict(network.state_dict(), other=torch.tensor(float('nan')))
    check_finite(state, network, 'it')
