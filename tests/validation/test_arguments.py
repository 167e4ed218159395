"""Values that a class cannot take, found by its signature."""

from collections.abc import Sequence
from typing import Literal

import pytest
from mmengine.registry import MODELS, Registry

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.validation.arguments import check_arguments, parameters_of

TOYS = Registry('toy')


@TOYS.register_module()
class Base:
    def __init__(
        self, width, depth: int = 2, tau: float = 1.0, max_norm: 'float' = 1.0, gamma=0.1, **kwargs
    ):
        pass


@TOYS.register_module()
class Toy(Base):
    def __init__(
        self,
        count: int = 1,
        rate: float = 0.5,
        on: bool = True,
        name: str = 'toy',
        sizes: Sequence[int] = (1, 2),
        pair: tuple[int, int] | None = None,
        inner: dict | None = None,
        parts: str | list[str] = 'all',
        mode: Literal['mean', 'sum'] = 'mean',
        plain_number=3,
        plain_switch=False,
        odd: int = 0.5,
        **kwargs,
    ):
        super().__init__(**kwargs)


def refusal(**arguments):
    """The sentence about a Toy with these arguments, None if there is none."""
    try:
        check_arguments(dict(type='Toy', **arguments), 'model.toy', TOYS, None)
    except ConfigurationError as error:
        return str(error)


@pytest.mark.parametrize(
    'arguments',
    [
        dict(count=3, rate=1, on=False, name='x', sizes=[1, 2, 3], pair=[1, 2], mode='sum'),
        # A whole number may be written as 4.0, a switch as 0 or 1, a tuple as a list.
        dict(count=4.0, on=1, sizes=(), pair=(1, 2), parts=['a', 'b']),
        # None where the class says so or has it as its default.
        dict(pair=None, inner=None),
        # Without an annotation a list may be as good as a number.
        dict(plain_number=[1, 2], plain_switch='some'),
        # The default shows more than the annotation says.
        dict(odd=0.25),
        # What the class does not have is for its constructor to refuse.
        dict(unknown='text', width='text'),
        dict(inner=dict(type='Toy', count=2), depth=5),
        dict(sizes=range(3)),
        # Clips nothing, and logs the norm.
        dict(max_norm=float('inf')),
        dict(gamma=0),
    ],
)
def test_values_that_a_class_can_take_pass(arguments):
    assert refusal(**arguments) is None


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        (dict(count='3'), "model.toy.count must be an integer, but got '3'"),
        (dict(count=True), 'model.toy.count must be an integer, but got True'),
        (dict(count=2.5), 'model.toy.count must be an integer, but got 2.5'),
        (dict(count=[3]), 'model.toy.count must be an integer, but got [3]'),
        (dict(count=None), 'model.toy.count must be an integer, but got None'),
        (dict(rate='0.5'), "model.toy.rate must be a number, but got '0.5'"),
        (dict(rate=False), 'model.toy.rate must be a number, but got False'),
        (dict(rate=float('nan')), 'model.toy.rate must be a finite number, but got nan'),
        (dict(count=float('inf')), 'model.toy.count must be an integer, but got inf'),
        (dict(max_norm=-1.0), 'model.toy.max_norm must be greater than 0, but got -1.0'),
        (dict(gamma=-0.1), 'model.toy.gamma must not be negative, but got -0.1'),
        (dict(on='yes'), "model.toy.on must be True or False, but got 'yes'"),
        (dict(on=2), 'model.toy.on must be True or False, but got 2'),
        (dict(name=7), 'model.toy.name must be a string, but got 7'),
        (dict(sizes='12'), "model.toy.sizes must be a list of integers, but got '12'"),
        (dict(sizes=[1, 'b']), "model.toy.sizes must be a list of integers, but got [1, 'b']"),
        (dict(pair=3), 'model.toy.pair must be a list of integers or None, but got 3'),
        (dict(inner=[]), 'model.toy.inner must be a dict or None, but got []'),
        (dict(parts=3), 'model.toy.parts must be a string or a list of strings, but got 3'),
        (dict(mode='median'), "model.toy.mode must be 'mean' or 'sum', but got 'median'"),
        (dict(plain_number='3'), "model.toy.plain_number must be an integer, but got '3'"),
        (dict(plain_switch='no'), "model.toy.plain_switch must be True or False, but got 'no'"),
        # An argument of the base class, to which the keyword arguments go.
        (dict(depth='2'), "model.toy.depth must be an integer, but got '2'"),
        (dict(tau=0), 'model.toy.tau must be greater than 0, but got 0'),
        (dict(tau=-4.0), 'model.toy.tau must be greater than 0, but got -4.0'),
        # Wherever it is.
        (dict(width=[0.5, float('inf')]), 'model.toy.width[1] must be a finite number'),
        (dict(inner=dict(type='Toy', count='2')), 'model.toy.inner.count must be an integer'),
        (dict(width=[dict(type='Toy', on=3)]), 'model.toy.width[0].on must be True or False'),
        (dict(inner=dict(type=3)), 'model.toy.inner.type must be the name of a class, but got 3'),
        (dict(_scope_='mmpertrain'), 'model.toy._scope_ must be the name of a package'),
        (dict(_scope_=''), 'model.toy._scope_ must be the name of a package'),
    ],
)
def test_a_value_that_a_class_cannot_take_is_one_sentence_with_its_key(arguments, sentence):
    assert refusal(**arguments).startswith(sentence)


def test_a_type_that_is_not_registered_is_passed_over_unless_it_must_be():
    config = dict(type='Tory', count='3')
    check_arguments(config, 'toy', TOYS, None)
    with pytest.raises(ConfigurationError, match=r'toy.type: "Tory" .*did you mean "Toy"\?'):
        check_arguments(config, 'toy', TOYS, None, registered=True)


def test_a_scope_is_where_types_are_looked_up():
    config = dict(type='KLDivergence', tau='4')
    check_arguments(config, 'loss', MODELS, 'mmpretrain')
    for scope, given in (('mmrazor', config), ('mmpretrain', dict(config, _scope_='mmrazor'))):
        with pytest.raises(ConfigurationError, match="loss.tau must be a number, but got '4'"):
            check_arguments(given, 'loss', MODELS, scope)


def test_parameters_of_a_class_include_those_that_its_keyword_arguments_reach():
    assert list(parameters_of(Base)) == ['width', 'depth', 'tau', 'max_norm', 'gamma']
    assert {'width', 'depth', 'tau', 'count'} <= set(parameters_of(Toy))
