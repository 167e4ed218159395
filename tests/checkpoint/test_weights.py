import pytest
import torch

from edudistill_mm.checkpoint.weights import extract_state_dict
from edudistill_mm.errors import ConfigurationError


@pytest.mark.parametrize(
    'wrap',
    [
        lambda w: dict(state_dict=w, meta={}),
        lambda w: dict(model=w),
        lambda w: dict(model_state_dict=w, optimizer_state_dict=dict(state={})),
        lambda w: dict(net=w, acc=90.0, epoch=3),
        lambda w: w,
        lambda w: {f'module.{name}': value for name, value in w.items()},
    ],
)
def test_weights_are_found_where_code_bases_put_them(wrap):
    weights = dict(w=torch.ones(2), b=torch.zeros(1))
    found = extract_state_dict(wrap(weights))
    assert set(found) == {'w', 'b'} and found['w'] is weights['w']


@pytest.mark.parametrize(
    'checkpoint', [{}, dict(state_dict={}), dict(meta=dict(epoch=1)), dict(weights=3)]
)
def test_a_checkpoint_without_weights_is_an_error(checkpoint):
    with pytest.raises(ConfigurationError, match='no weights'):
        extract_state_dict(checkpoint)
