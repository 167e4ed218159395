import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.optim.swa_utils import AveragedModel

from edudistill_mm.checkpoint.pretrained import pretrained_of
from edudistill_mm.checkpoint.state_dict_names import match_names
from edudistill_mm.checkpoint.weights import extract_state_dict
from edudistill_mm.errors import ConfigurationError

PLAIN = {'fc.weight': torch.zeros(2, 3), 'fc.bias': torch.zeros(2)}
AVERAGED = {name: tensor + 1 for name, tensor in PLAIN.items()}


class Linear(BaseModel):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, *inputs, mode='loss'):
        return dict(loss=self.fc(torch.stack(inputs)).square().mean())


def behind(prefix, state):
    return {f'{prefix}{name}': tensor for name, tensor in state.items()}


# How code bases write both.
DIALECTS = {
    'MMEngine': dict(
        state_dict=AVERAGED, ema_state_dict={'steps': torch.tensor(9), **behind('module.', PLAIN)}
    ),
    'timm': dict(state_dict=PLAIN, state_dict_ema=AVERAGED),
    'torchvision': dict(
        model=PLAIN, model_ema={'n_averaged': torch.tensor(9), **behind('module.', AVERAGED)}
    ),
    'DeiT': dict(model=PLAIN, model_ema=AVERAGED, args=dict(lr=0.1)),
    'BasicSR': dict(params=PLAIN, params_ema=AVERAGED),
    'nested': dict(model=PLAIN, ema=dict(module=AVERAGED, updates=9)),
    'SWA': dict(net=PLAIN, swa_state_dict=AVERAGED),
}


@pytest.mark.parametrize('dialect', DIALECTS)
@pytest.mark.parametrize(
    'averaged, expected', [(None, AVERAGED), (True, AVERAGED), (False, PLAIN)]
)
def test_averages_are_taken_unless_told_otherwise(dialect, averaged, expected):
    state = extract_state_dict(DIALECTS[dialect], averaged=averaged)
    assert {name: state[name].tolist() for name in expected} == {
        name: tensor.tolist() for name, tensor in expected.items()
    }


def test_what_is_asked_for_must_be_there():
    with pytest.raises(ConfigurationError, match='^x.pth holds no averaged weights$'):
        extract_state_dict(dict(state_dict=PLAIN), 'x.pth', averaged=True)
    with pytest.raises(ConfigurationError, match='averaged weights alone, under "model_ema"'):
        extract_state_dict(dict(model_ema=AVERAGED), 'x.pth', averaged=False)
    assert extract_state_dict(dict(model_ema=AVERAGED)).keys() == AVERAGED.keys()
    assert extract_state_dict(dict(state_dict=PLAIN), averaged=False).keys() == PLAIN.keys()


def test_the_averages_of_mmengine_are_those_that_it_validates(tmp_path):
    class Watch(Hook):
        def after_train_epoch(self, runner):
            ema = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
            self.seen = [
                {name: tensor.clone() for name, tensor in model.state_dict().items()}
                for model in (ema.src_model, ema.ema_model.module)
            ]

    watch = Watch()
    runner = Runner(
        Linear(),
        str(tmp_path),
        train_dataloader=dict(
            dataset=[torch.full((3,), index / 8) for index in range(8)],
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=4,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[dict(type='EMAHook', momentum=0.5), watch],
        default_scope='mmengine',
        experiment_name=tmp_path.name,
    )
    runner.train()
    checkpoint = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
    plain, averaged = watch.seen
    assert not torch.equal(plain['fc.weight'], averaged['fc.weight'])
    for choice, expected in ((None, averaged), (True, averaged), (False, plain)):
        state = extract_state_dict(checkpoint, averaged=choice)
        assert all(torch.equal(state[name].cpu(), expected[name].cpu()) for name in expected)


def test_the_average_of_torch_loses_its_wrapper():
    model = Linear()
    averaged = AveragedModel(model)
    state = extract_state_dict(dict(model=model.state_dict(), model_ema=averaged.state_dict()))
    assert set(model.state_dict()) <= set(state)


@pytest.mark.parametrize(
    'name',
    [
        'module.fc.weight',
        '_orig_mod.fc.weight',
        'module._orig_mod.fc.weight',
        '_orig_mod.module.fc.weight',
        '_fsdp_wrapped_module.fc.weight',
        'fc._orig_mod.weight',
    ],
)
def test_what_torch_wraps_around_networks_leaves_no_trace(name):
    assert list(extract_state_dict({name: torch.zeros(1)})) == ['fc.weight']


@pytest.mark.parametrize('prefix', ['model.', 'student.', 'net.', 'architecture.', 'a.b.c.'])
def test_a_prefix_of_all_names_is_taken_off_and_named(prefix):
    state = {**behind(prefix, PLAIN), 'other.weight': torch.zeros(5)}
    fitted, done = match_names(PLAIN, state)
    assert set(fitted) == set(PLAIN) and f'"{prefix}" is taken off' in done


def test_names_that_fit_stay_as_they_are():
    state = {**PLAIN, **behind('ema.', AVERAGED)}
    fitted, done = match_names(PLAIN, state)
    assert done is None and fitted == state


def test_two_networks_that_fit_are_told_apart_by_shape_or_refused():
    teacher = {name: torch.zeros(7, 7)[: len(tensor)] for name, tensor in PLAIN.items()}
    state = {**behind('student.', PLAIN), **behind('teacher.', teacher)}
    assert match_names(PLAIN, state)[0].keys() == PLAIN.keys()
    state = {**behind('student.', PLAIN), **behind('teacher.', AVERAGED)}
    with pytest.raises(ConfigurationError, match="'student.' and 'teacher.'.*prefix='student.'"):
        match_names(PLAIN, state)


def test_of_two_networks_one_may_be_the_average_of_the_other():
    state = {**behind('model.', PLAIN), **behind('ema_model.module.', AVERAGED)}
    for averaged, expected in ((None, AVERAGED), (True, AVERAGED), (False, PLAIN)):
        fitted, _ = match_names(PLAIN, state, averaged)
        assert all(fitted[name] is expected[name] for name in PLAIN)


def test_a_misfit_keeps_the_names_by_which_it_can_be_told():
    state = behind('model.', {**PLAIN, 'fc.bias': torch.zeros(9)})
    assert match_names(PLAIN, state)[0]['fc.bias'].shape == (9,)
    assert match_names(PLAIN, dict(x=torch.zeros(1)))[0].keys() == {'x'}


def test_the_checkpoint_of_an_init_cfg_is_found_in_lists_too():
    cfg = dict(type='Pretrained', checkpoint='x.pth')
    assert pretrained_of(cfg) is cfg
    assert pretrained_of([dict(type='Kaiming', layer='Conv2d'), cfg]) is cfg
    for other in (None, [], dict(type='Kaiming'), 'x.pth'):
        assert pretrained_of(other) is None
