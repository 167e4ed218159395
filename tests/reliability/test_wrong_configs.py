"""One fault in a valid config, in all its values: what the command line says to it."""

import collections
import fnmatch
import gc
from pathlib import Path

import mmpretrain
import mmrazor
import pytest
from mmengine.config import Config
from mutations import CONFIGS, all_mutations, outcome

from edudistill_mm.compat import modernise
from edudistill_mm.config.check_values import check_values
from edudistill_mm.config.classes import fill_in_classes
from edudistill_mm.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
SAMPLE = 60
# What sounds like a fault and has a meaning: the reason, what was done, to which keys.
VALID = [
    (
        'the key is optional and its default is taken',
        ['is missing'],
        [
            'model.*_weight',
            'model.*_scope_',
            'model.*.backbone.stem_channels',
            'model.*.head.loss',
            'model.teacher_weighting',
            'model.*trainable',
            'model.calculate_student_loss',
            'model.teacher_norm_eval',
            'model.module_inplace',
            'model.data_preprocessor',
            'data_preprocessor',
            '*data_preprocessor.to_rgb',
            'model.architecture.fragments',
            'model.architecture.reference*',
            'model.teachers.*.weight',
            'model.teachers.*.data_preprocessor',
            'model.distiller.distill_losses.*.tau',
            'model.distiller.distill_losses.*.beta',
            'model.distiller.distill_losses.*.reduction',
            'model.distiller.distill_losses.*.normalize',
            'model.distiller.distill_losses.*.loss_weight',
            'model.distiller.connectors.*.norm_cfg',
            'model.distiller.connectors.exit.kernel_size',
            'model.distiller.loss_forward_mappings.*.record_idx',
            'model.curriculum.grades.*.fragments',
            'model.curriculum.grades.*.optimizer',
            'model.curriculum.grades.*.samples',
            'train_dataloader.num_workers',
            'train_dataloader.drop_last',
            'train_dataloader.sampler.shuffle',
            'train_dataloader.sampler.seed',
            'train_dataloader.sampler.round_up',
            'custom_hooks.1.losses',
            'custom_hooks.1.each_grade',
            'custom_hooks.2.momentum',
            'train_cfg.val_interval',
            'optim_wrapper.type',
            'optim_wrapper.clip_grad',
            'optim_wrapper.optimizer.lr',
            'optim_wrapper.optimizer.momentum',
            'optim_wrapper.optimizer.weight_decay',
            'param_scheduler.0.gamma',
            'param_scheduler.0.by_epoch',
            'param_scheduler.0.T_max',
            'param_scheduler.0.eta_min',
            'val_evaluator.*.topk',
        ],
    ),
    (
        'None is the default, or stands for none of it',
        ['is None'],
        [
            'model.*_scope_',
            'model.data_preprocessor',
            'data_preprocessor',
            'model.architecture.reference',
            'model.architecture.reference.width',
            'model.architecture.reference.pool_size',
            'model.teachers.*.data_preprocessor',
            'model.distiller.connectors.*.norm_cfg',
            'train_dataloader.sampler.seed',
            'custom_hooks.1.losses',
            'optim_wrapper.clip_grad',
            'param_scheduler',
            'param_scheduler.0.T_max',
            'param_scheduler.0.eta_min',
        ],
    ),
    (
        'an empty one stands for none of it',
        ['is an empty list'],
        ['param_scheduler', 'param_scheduler.0.milestones', 'val_evaluator'],
    ),
    ('all its keys are optional', ['is an empty dict'], ['model.architecture.reference']),
    (
        'nothing is clipped, the norm is logged',
        ['is infinite'],
        ['optim_wrapper.clip_grad.max_norm'],
    ),
    (
        'zero switches it off',
        ['is zero'],
        [
            'model.*_loss_weight',
            'model.distiller.distill_losses.*.loss_weight',
            'model.distiller.distill_losses.*.beta',
            'optim_wrapper.optimizer.*',
            'param_scheduler.0.gamma',
            'param_scheduler.0.milestones.0',
            'param_scheduler.0.eta_min',
        ],
    ),
    (
        'any number is a mean',
        ['is zero', 'is negative'],
        ['*data_preprocessor.mean.0'],
    ),
    (
        'any whole number is a seed',
        ['is zero', 'is negative'],
        ['train_dataloader.sampler.seed'],
    ),
    (
        'a loss may be subtracted, as in a config of MMRazor',
        ['is negative'],
        [
            'model.distiller.distill_losses.*.loss_weight',
            'model.distiller.distill_losses.*.beta',
        ],
    ),
    (
        'the module runs twice, this is the record of its first run',
        ['is zero'],
        ['model.distiller.loss_forward_mappings.*.record_idx'],
    ),
    ('one number stands for both sides', ['is a number'], ['model.teachers.1.input_size']),
    (
        'a list of one',
        ['is a list'],
        ['val_evaluator.*.topk', 'model.distiller.connectors.exit.pool_size'],
    ),
    (
        'a loss may rest, as in the second stages of MMRazor; a warning says so',
        ['is missing', 'has an unknown key'],
        [
            'model.distiller.loss_forward_mappings.loss_early',
            'model.distiller.loss_forward_mappings.loss_gap',
            'model.distiller.loss_forward_mappings.loss_label',
            'model.distiller.loss_forward_mappings.loss_soft',
        ],
    ),
    (
        'another output of the connector',
        ['is zero'],
        ['model.distiller.loss_forward_mappings.*.connector_idx'],
    ),
    (
        'the schedule takes the step twice there',
        ['is with its last item twice'],
        ['param_scheduler.0.milestones'],
    ),
    (
        'the same result twice is the same result',
        ['is with its last item twice'],
        ['val_evaluator.1.topk'],
    ),
]
NAMES = dict(
    model='the options of the algorithm',
    architecture='the student: network, fragments, teaching references',
    teachers='teachers',
    distiller='the distiller: recorders, connectors, losses, mappings',
    curriculum='the curriculum',
    data_preprocessor='the normalisation',
    train_dataloader='the data loader',
    sampler='the sampler',
    custom_hooks='hooks',
    train_cfg='the loop',
    optim_wrapper='the optimizer',
    param_scheduler='schedules',
    val_evaluator='metrics',
)


def reason_for(mutation):
    """Why a mutated config is still valid; None if it is not."""
    for reason, kinds, keys in VALID:
        if mutation.kind in kinds and any(fnmatch.fnmatch(mutation.key, key) for key in keys):
            return reason
    return None


@pytest.fixture(scope='module')
def valid(tmp_path_factory):
    folder = tmp_path_factory.mktemp('configs')
    return {name: make(folder) for name, make in CONFIGS.items()}


@pytest.fixture
def frozen():
    """Data sets collect garbage when they are built: the less there is to look at, the faster."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_the_configs_without_a_fault_train(valid, tmp_path):
    for name, config in valid.items():
        assert outcome(config, tmp_path).what == 'trained', name


def test_a_wrong_value_anywhere_is_one_sentence_that_names_its_key(
    valid, tmp_path, frozen, full, report
):
    mutations = list(all_mutations(valid))
    assert len(mutations) > 600
    chosen = mutations if full else mutations[:: len(mutations) // SAMPLE]
    counts = collections.defaultdict(collections.Counter)
    bugs = []
    for mutation in chosen:
        reason, seen = (
            reason_for(mutation),
            outcome(mutation.apply(valid[mutation.config]), tmp_path),
        )
        itself, option = mutation.named_in(seen.said)
        if seen.what == 'trained' and reason is not None:
            counts[mutation.section][f'valid: {reason}'] += 1
        elif seen.what == 'refused' and reason is None and option:
            counts[mutation.section]['itself' if itself else 'option'] += 1
        else:
            bugs.append(f'{mutation} -> {seen.what} ({reason}): {seen.said[-600:]}')
    assert not bugs, f'{len(bugs)} of {len(chosen)}:\n' + '\n'.join(bugs)
    for section, count in counts.items():
        refused = count.pop('itself', 0), count.pop('option', 0)
        happened = (
            f'{sum(refused)} refused before training in one sentence that names the key ({refused[0]}) '
            f'or the option that it is in ({refused[1]})'
        )
        if count:
            happened += (
                f'; {sum(count.values())} trained, because they have a meaning: '
                + ', '.join(
                    f'{reason.removeprefix("valid: ")} ({number})'
                    for reason, number in count.items()
                )
            )
        report(
            'Wrong configs',
            f'one wrong value in {NAMES[section]}',
            'a value of another type, empty, out of range, NaN, misspelt or given twice; a key that is '
            'missing, misspelt or unknown',
            sum(refused) + sum(count.values()),
            happened,
        )


def test_no_config_of_mmpretrain_and_mmrazor_is_refused(full, report):
    files = [
        *sorted((Path(mmpretrain.__file__).parent / '.mim' / 'configs').glob('*/*.py')),
        *sorted(
            (Path(mmrazor.__file__).parent / '.mim' / 'configs' / 'distill').glob('mmcls/*/*.py')
        ),
        *sorted((ROOT / 'configs').rglob('*.py')),
    ]
    files = [file for file in files if not {'_base_', 'compare'} & set(file.parts)]
    assert len(files) > 400
    passed = 0
    for file in files if full else files[::20]:
        try:
            config = modernise(Config.fromfile(file))
        except Exception:
            # A few need packages that are not there.
            continue
        if 'model' not in config:
            continue
        fill_in_classes(config, lambda dataset: range(100))
        try:
            check_values(config)
            passed += 1
        except ConfigurationError as error:
            # Data sets of text and images need packages that are not there.
            assert 'is not a registered type' in str(error), file
    assert passed > 0.8 * len(files if full else files[::20])
    report(
        'Wrong configs',
        'no fault: the configs of MMPretrain, MMRazor and this package',
        'each was checked as a run checks it',
        passed,
        'none refused',
    )
