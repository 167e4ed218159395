import pytest

from edudistill_mm.checkpoint.pretrained import pretrained_of
from edudistill_mm.errors import ConfigurationError


def test_a_pretrained_part_without_a_checkpoint_is_refused():
    with pytest.raises(
        ConfigurationError, match='lacks the key "checkpoint"; it is {.*Pretrained'
    ):
        pretrained_of([dict(type='Kaiming'), dict(type='Pretrained', prefix='x')])


def test_the_pretrained_part_of_several_is_found():
    part = dict(type='Pretrained', checkpoint='a.pth')
    assert pretrained_of([dict(type='Kaiming'), part]) is part
    assert pretrained_of(dict(type='Kaiming')) is None
