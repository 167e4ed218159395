import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from runs import scalars, train

from edudistill_mm.engine import NewParameterRateHook
from edudistill_mm.errors import ConfigurationError


@HOOKS.register_module(force=True)
class Steps(Hook):
    """Keeps the weights before each iteration."""

    priority = 'LOWEST'

    def __init__(self):
        self.weights = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        named = runner.model.student.named_parameters()
        self.weights.append({name: p.detach().clone() for name, p in named})


def rated(config, folder=None, **kwargs):
    config = copy.deepcopy(config)
    config.log_processor = dict(window_size=1)
    config.custom_hooks += [dict(type='NewParameterRateHook', **kwargs)] if kwargs else []
    if folder:
        config.update(work_dir=str(folder), experiment_name=folder.name)
    return config


def by_iter(config):
    for grade, length in zip(config.model.curriculum.grades, (3, 4, 5)):
        del grade['epochs']
        grade.iters = length
    config.train_cfg = dict(by_epoch=False, max_iters=12, val_interval=4)
    config.default_hooks.checkpoint.update(by_epoch=False)
    config.log_processor = dict(by_epoch=False)
    return config


@pytest.mark.parametrize(
    'length, mid, high',
    [
        # Epochs of 4 and 6 batches, two and three a grade.
        (dict(epochs=1), 4, 6),
        (dict(epochs=9), 8, 18),
        (dict(iters=3), 3, 3),
        (dict(share=0.5), 4, 9),
    ],
)
def test_the_factor_fades_over_its_length_and_never_beyond_the_grade(config, length, mid, high):
    config = rated(config, factor=3, **length)
    config.val_cfg = config.val_evaluator = config.val_dataloader = None
    config.default_hooks.checkpoint.pop('save_best')
    train(config)
    factors = [row['new_rate_factor'] for row in scalars(config.work_dir)[0]]
    fading = [
        [1 + 2 * max(1 - t / end, 0) for t in range(count)]
        for end, count in ((mid, 8), (high, 18))
    ]
    assert factors == pytest.approx([1] * 4 + fading[0] + fading[1], abs=1e-4)


def test_only_what_is_new_changes_by_the_factor(config, tmp_path):
    steps = []
    for folder, kwargs in (
        (tmp_path / 'plain', {}),
        (tmp_path / 'rated', dict(factor=3, iters=5)),
    ):
        some = rated(config, folder, **kwargs)
        some.custom_hooks.append(dict(type='Steps'))
        runner = train(some)
        steps.append(next(hook for hook in runner.hooks if isinstance(hook, Steps)).weights)
    plain, other = steps
    # The grades begin with the iterations 4 and 12; until the first step the runs are the same.
    new = {id(p) for p in runner.model.student.parameters_of(2)}
    names = {name for name, p in runner.model.student.named_parameters() if id(p) in new}
    assert {name.split('.')[1] for name in names} == {'layer2', '1'} and len(names) < len(plain[4])
    # Residual branches begin at zero: not all of it changes in the first step.
    assert any(not torch.equal(plain[5][name], plain[4][name]) for name in names)
    for name, before in plain[4].items():
        assert torch.equal(before, other[4][name])
        change, rated_change = plain[5][name] - before, other[5][name] - before
        if name in names:
            assert torch.allclose(rated_change, 3 * change, rtol=1e-3, atol=1e-6), name
        else:
            assert torch.equal(rated_change, change), name


@pytest.mark.parametrize(
    'optimizer',
    [
        lambda groups: torch.optim.SGD(groups, momentum=0.9, weight_decay=0.01, nesterov=True),
        lambda groups: torch.optim.AdamW(groups, weight_decay=0.1),
    ],
    ids=['SGD', 'AdamW'],
)
def test_it_is_a_factor_of_the_rate(optimizer):
    def trained(factor_of_rate):
        torch.manual_seed(0)
        old, new = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
        rates = 0.1, 0.1 * (3 if factor_of_rate else 1)
        groups = [dict(params=list(m.parameters()), lr=lr) for m, lr in zip((old, new), rates)]
        optim, hook = optimizer(groups), NewParameterRateHook(factor=3, iters=1)
        if not factor_of_rate:
            hook.factor, hook._new = 3.0, list(new.parameters())
            optim.register_step_pre_hook(hook._remember)
            optim.register_step_post_hook(hook._scale)
        for seed in range(5):
            x = torch.randn(6, 3, generator=torch.Generator().manual_seed(seed))
            new(old(x).relu()).square().sum().backward()
            optim.step()
            optim.zero_grad()
        return [*old.parameters(), *new.parameters()]

    for one, other in zip(trained(True), trained(False)):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_factor_of_one_changes_no_bit(config, tmp_path):
    one, other = (
        train(rated(config, tmp_path / name, **kwargs)).model.state_dict()
        for name, kwargs in (('without', {}), ('with', dict(factor=1, epochs=1)))
    )
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.slow
@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_resumed_run_equals_the_uninterrupted_one(config, by_epoch):
    config = rated(config if by_epoch else by_iter(config), factor=2.5, share=0.8)
    config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    config.optim_wrapper.update(accumulative_counts=2, clip_grad=dict(max_norm=1))
    end = 7 if by_epoch else 12
    config.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, end=2, by_epoch=by_epoch),
        dict(type='CosineAnnealingLR', begin=end - 3, end=end, eta_min=0, by_epoch=by_epoch),
    ]
    if by_epoch:
        for scheduler in config.param_scheduler:
            scheduler.convert_to_iter_based = True
    whole = train(copy.deepcopy(config)).model.state_dict()
    steps, _ = scalars(config.work_dir)
    for point in (3, 5):
        again = copy.deepcopy(config)
        again.update(
            work_dir=f'{config.work_dir}_{point}',
            experiment_name=f'{config.experiment_name}_{point}',
            resume=True,
            load_from=f'{config.work_dir}/{"epoch" if by_epoch else "iter"}_{point}.pth',
        )
        state = train(again).model.state_dict()
        later, _ = scalars(again.work_dir)
        keys = ('loss', 'lr', 'new_rate_factor')
        assert [[row[key] for key in keys] for row in later] == [
            [row[key] for key in keys] for row in steps[len(steps) - len(later) :]
        ]
        assert all(torch.equal(tensor, state[name]) for name, tensor in whole.items())


def test_epochs_need_a_curriculum_that_counts_them(config):
    with pytest.raises(ConfigurationError, match='epochs needs a curriculum that counts epochs'):
        train(rated(by_iter(config), factor=2, epochs=1))


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (
            dict(factor=0, epochs=1),
            'NewParameterRateHook.factor must be a number above 0, but got 0',
        ),
        (dict(factor='2', epochs=1), "factor must be a number above 0, but got '2'"),
        (dict(factor=float('inf'), epochs=1), 'factor must be a number above 0, but got inf'),
        (dict(factor=2), 'needs one of epochs, iters and share, but got none'),
        (dict(factor=2, epochs=1, share=0.5), 'but got epochs, share'),
        (dict(factor=2, epochs=0), 'NewParameterRateHook.epochs must be a positive integer'),
        (dict(factor=2, share=1.5), 'share must be a number above 0 and up to 1, but got 1.5'),
    ],
)
def test_values_that_are_none_are_refused(kwargs, words):
    with pytest.raises(ConfigurationError, match=words):
        NewParameterRateHook(**kwargs)
