"""Files that are broken, foreign or hostile, at every place where a run reads one.

Each ends in one sentence that names the file, or, where the damage does not matter, in the very
values of the intact file. No code of a file runs, and nothing is trained.
"""

import copy
import functools
import http.server
import os
import random
import stat
import threading
import warnings
import zipfile

import pytest
import torch
from mmengine.config import Config
from networks import build, resnet
from run_tool import run_tool
from runs import school_config, train

from edudistill_mm.apis.test import test as run_test
from edudistill_mm.checkpoint.download import resolve_checkpoint
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.engine import EducationRunner
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.export_student import export_student
from edudistill_mm.models.network import load_weights
from edudistill_mm.models.teachers import Teacher

AREA = 'Hostile and broken files'


class Code:
    """Pickles to a call of ``os.system``."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


@pytest.fixture(scope='module')
def school(tmp_path_factory):
    """Config of a run without teachers, its folder and its first checkpoint."""
    folder = tmp_path_factory.mktemp('school')
    config = school_config(folder)
    for key in ('teachers', 'distiller'):
        config.model.pop(key)
    for grade in config.model.curriculum.grades:
        grade.pop('teachers')
        grade.epochs = 1
    config.train_cfg.max_epochs = 3
    config.param_scheduler = dict(type='MultiStepLR', milestones=[2])
    config.default_hooks.checkpoint.save_best = None
    config.experiment_name = 'hostile_files'
    # Else MMEngine collects garbage whenever it builds a data set.
    config.train_dataloader.dataset.serialize_data = False
    config.val_dataloader.dataset.serialize_data = False
    for split in ('dataloader', 'cfg', 'evaluator'):
        config[f'test_{split}'] = copy.deepcopy(config[f'val_{split}'])
        config[f'val_{split}'] = None
    train(config)
    torch.save(
        dict(state_dict=build(resnet()).state_dict(), meta=dict(epoch=1)), folder / 'teacher.pth'
    )
    return config, folder


def equal(one, other):
    """Whether two checkpoints hold the same."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and list(one) == list(other)
            and all(equal(one[key], other[key]) for key in one)
        )
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and (one == other or one != one)


def sentence_of(error, *names):
    """The message of an error; it must be one sentence with all of the names in it."""
    message = str(error.value)
    assert '\n' not in message and 'Traceback' not in message
    for name in names:
        assert str(name) in message, message
    return message


# ---- files of which bytes are missing or changed
def damaged(data, full):
    """(what, bytes) of damaged copies."""
    draw = random.Random(0)
    cuts = range(0, len(data), max(len(data) // (2000 if full else 150), 1))
    for cut in cuts:
        yield 'cut off', data[:cut]
    for _ in range(6000 if full else 400):
        place, bit = draw.randrange(len(data)), draw.randrange(8)
        yield 'one bit', data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
    for _ in range(500 if full else 50):
        start = draw.randrange(len(data))
        stop = min(len(data), start + draw.choice([2, 16, 512, 4096]))
        yield 'a block of zeros', data[:start] + bytes(stop - start) + data[stop:]


def test_a_damaged_checkpoint_is_refused_or_reads_as_the_intact_one(
    school, tmp_path, report, full
):
    _, folder = school
    source = folder / 'run' / 'epoch_1.pth'
    intact, data = load_checkpoint_file(str(source)), source.read_bytes()
    path = tmp_path / 'damaged.pth'
    counts = {}
    for what, changed in damaged(data, full):
        path.write_bytes(changed)
        outcome = counts.setdefault(what, dict(refused=0, identical=0))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            try:
                loaded = load_checkpoint_file(str(path))
            except ConfigurationError as error:
                assert str(path) in str(error) and '\n' not in str(error)
                outcome['refused'] += 1
                continue
        assert equal(loaded, intact)
        outcome['identical'] += 1
    assert counts['cut off']['identical'] == 0
    assert counts['one bit']['refused'] > counts['one bit']['identical']
    for what, outcome in counts.items():
        report(
            AREA,
            f'a damaged checkpoint: {what}',
            'at places all over a training checkpoint',
            sum(outcome.values()),
            f'{outcome["refused"]} refused in one sentence that names the file; '
            f'{outcome["identical"]} read as the intact file, value for value',
        )


def test_a_damaged_file_of_safetensors_is_refused_or_gives_the_same_network(
    tmp_path, report, full
):
    torch_files = pytest.importorskip('safetensors.torch')
    intact = build(resnet()).state_dict()
    data = torch_files.save(intact)
    path = tmp_path / 'damaged.safetensors'
    header = 8 + int.from_bytes(data[:8], 'little')
    draw = random.Random(0)
    places = [(draw.randrange(header), draw.randrange(8)) for _ in range(4000 if full else 200)]
    cases = [('cut off', data[:cut]) for cut in range(0, len(data), len(data) // 100)]
    for place, bit in places:
        changed = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
        cases.append(('one bit of the header', changed))
    network, fresh, counts = build(resnet(), 1), build(resnet(), 1).state_dict(), {}
    for what, changed in cases:
        path.write_bytes(changed)
        outcome = counts.setdefault(what, dict(refused=0, identical=0))
        try:
            load_weights(network, str(path), 'ckpt')
        except ConfigurationError as error:
            assert str(path) in str(error) and '\n' not in str(error)
            outcome['refused'] += 1
            continue
        assert equal(dict(network.state_dict()), dict(intact))
        network.load_state_dict(fresh)
        outcome['identical'] += 1
    assert counts['cut off']['identical'] == 0
    for what, outcome in counts.items():
        report(
            AREA,
            f'a damaged file of safetensors: {what}',
            'a network was loaded from it',
            sum(outcome.values()),
            f'{outcome["refused"]} refused in one sentence that names the file; {outcome["identical"]} '
            'gave the network of the intact file. Such files have no checksum: of damaged weights, '
            'only those that are no numbers are found',
        )


# ---- what is no checkpoint at all
def no_files(folder):
    """(name, path, words of the message) of paths that hold no checkpoint."""
    (folder / 'directory.pth').mkdir()
    (folder / 'loop.pth').symlink_to(folder / 'loop.pth')
    (folder / 'dangling.pth').symlink_to(folder / 'nothing')
    os.mkfifo(folder / 'pipe.pth')
    (folder / 'empty.pth').touch()
    (folder / 'text.pth').write_text('epoch_1.pth is in the other folder\n')
    (folder / 'html.pth').write_bytes(b'<html>\x00 404')
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(folder / 'script.pth'))
    torch.save(torch.nn.Linear(2, 2), folder / 'module.pth')
    torch.save([torch.zeros(1)], folder / 'list.pth')
    torch.save(dict(state_dict=dict(w=torch.zeros(9))), folder / 'plain.pth')
    # A file of 3 kB that unpacks to 30 MB; one whose record is declared a thousand times larger.
    with zipfile.ZipFile(folder / 'plain.pth') as plain:
        records = {name: plain.read(name) for name in plain.namelist()}
        with zipfile.ZipFile(folder / 'bomb.pth', 'w', zipfile.ZIP_DEFLATED) as bomb:
            for name, content in records.items():
                grown = content + bytes(3 * 10**7) if name.endswith('/0') else content
                bomb.writestr(name, grown)
        with zipfile.ZipFile(folder / 'declared.pth', 'w') as declared:
            for name, content in records.items():
                if name.endswith('data.pkl'):
                    assert content.count(b'K\x09') > 0
                    content = content.replace(b'K\x09', b'J\x00\x00\x00\x70')
                declared.writestr(name, content)
    words = dict(
        directory='is a directory',
        loop='too many levels of symbolic links',
        dangling='a symbolic link to nothing',
        pipe='is a device or a pipe',
        empty='is an empty file',
        text='not a file of torch.save',
        html='not a file of torch.save',
        script='a compressed archive',
        module='would run "torch.nn.modules.linear.Linear"',
        list='holds a list',
        bomb='a compressed archive',
        declared='cannot be read',
    )
    paths = [(name, folder / f'{name}.pth', text) for name, text in words.items()]
    if os.getuid() != 0:
        (folder / 'locked.pth').write_bytes((folder / 'plain.pth').read_bytes())
        (folder / 'locked.pth').chmod(0)
        paths.append(('locked', folder / 'locked.pth', 'may not be read'))
    return [
        *paths,
        ('device', '/dev/zero', 'is a device or a pipe'),
        ('null', f'{folder}/a\0b.pth', 'null'),
        ('long', f'{folder}/{"a" * 300}.pth', 'too long'),
    ]


def test_what_is_no_checkpoint_is_refused_at_once(tmp_path, report):
    cases = no_files(tmp_path)
    for _, path, words in cases:
        with warnings.catch_warnings(), pytest.raises(ConfigurationError) as error:
            warnings.simplefilter('ignore')
            load_checkpoint_file(str(path))
        assert words in sentence_of(error, path)
    report(
        AREA,
        'a path without a checkpoint',
        'in the place of a checkpoint: ' + ', '.join(name for name, *_ in cases),
        len(cases),
        'refused in one sentence that names the file; nothing is unpacked, nothing waits',
    )


# ---- checkpoints with something else inside
def with_weights(change):
    """A fault that changes the state dict."""

    def fault(checkpoint):
        checkpoint['state_dict'] = change(checkpoint['state_dict'])

    return fault


def replaced(value):
    """A state dict whose second tensor is replaced."""

    def change(state):
        name = weight_of(state)
        return {**state, name: value(state[name]) if callable(value) else value}

    return with_weights(change)


def weight_of(state):
    return next(name for name in state if name.endswith('conv1.weight'))


def filled(number):
    def change(tensor):
        tensor = tensor.clone()
        tensor.view(-1)[3] = number
        return tensor

    return replaced(change)


CONTENTS = {
    'a state dict that is a list': with_weights(lambda state: list(state.values())),
    'a state dict that is a string': with_weights(lambda state: 'weights'),
    'an empty state dict': with_weights(lambda state: {}),
    'a tensor that is a string': replaced('conv1'),
    'a tensor that is a list': replaced([1.0, 2.0]),
    'a tensor of integers': replaced(lambda tensor: tensor.long()),
    'a sparse tensor': replaced(lambda tensor: tensor.to_sparse()),
    'a tensor without numbers (meta)': replaced(lambda tensor: tensor.to('meta')),
    'a tensor of another shape': replaced(lambda tensor: tensor.flatten()),
    'a tensor that is missing': with_weights(
        lambda state: {name: state[name] for name in state if name != weight_of(state)}
    ),
    'a tensor more': with_weights(
        lambda state: {**state, weight_of(state).replace('conv1', 'conv9'): torch.zeros(1)}
    ),
    'a weight that is NaN': filled(float('nan')),
    'a weight that is infinite': filled(float('inf')),
}


def as_teacher(config, path, folder):
    Teacher('t', resnet(), range(6), 6, ckpt=str(path))


def as_pretrained(config, path, folder):
    config = copy.deepcopy(config)
    config.model.init_cfg = dict(type='Pretrained', checkpoint=str(path))
    run_to_the_end_of_loading(config, folder)


def as_start(config, path, folder):
    config = copy.deepcopy(config)
    config.load_from = str(path)
    run_to_the_end_of_loading(config, folder)


def as_resumed(config, path, folder):
    config = copy.deepcopy(config)
    config.resume, config.load_from = True, str(path)
    run_to_the_end_of_loading(config, folder)


def as_tested(config, path, folder):
    config = copy.deepcopy(config)
    config.work_dir = str(folder)
    config.experiment_name = f'{folder.name}_{len(list(folder.iterdir()))}'
    run_test(RunConfig(config), str(path))


def as_exported(config, path, folder):
    try:
        export_student(RunConfig(config), str(path), str(folder / 'exported.pth'))
    except ConfigurationError:
        assert not list(folder.glob('exported*'))
        raise


def run_to_the_end_of_loading(config, folder):
    """What ``EducationRunner.train`` does until the first batch."""
    config.work_dir = str(folder)
    config.experiment_name = f'{folder.name}_{id(config)}'
    runner = EducationRunner.from_completed_cfg(config)
    runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.call_hook('before_run')
    runner._init_model_weights()
    runner.load_or_resume()


# Place -> (how a file gets there, file to start from, contents that do not matter there).
PLACES = {
    'teacher': (as_teacher, 'teacher.pth', ()),
    'model.init_cfg': (as_pretrained, 'run/epoch_3.pth', ('a tensor more',)),
    'load_from': (as_start, 'run/epoch_3.pth', ()),
    '--resume': (as_resumed, 'run/epoch_1.pth', ()),
    'test': (as_tested, 'run/epoch_3.pth', ()),
    'export': (as_exported, 'run/epoch_3.pth', ()),
}


@pytest.mark.parametrize(
    'place',
    [
        pytest.param(place, marks=[] if place in ('teacher', '--resume') else [pytest.mark.slow])
        for place in PLACES
    ],
)
def test_a_checkpoint_with_something_else_inside_is_refused_where_it_is_read(
    school, tmp_path, report, place
):
    config, folder = school
    use, source, harmless = PLACES[place]
    use(config, folder / source, tmp_path)  # the intact file is taken
    for path in tmp_path.glob('exported*'):
        path.unlink()
    marker = tmp_path / 'marker'
    path = tmp_path / 'faulty.pth'
    refused = 0
    faults = dict(CONTENTS, **{'code that would run': lambda c: c.update(meta=Code(marker))})
    for name, fault in faults.items():
        checkpoint = torch.load(folder / source)
        fault(checkpoint)
        torch.save(checkpoint, path)
        if name in harmless:
            use(config, path, tmp_path)
            continue
        with pytest.raises(ConfigurationError) as error:
            use(config, path, tmp_path)
        sentence_of(error, path)
        refused += 1
    assert not marker.exists()
    report(
        AREA,
        f'a checkpoint with something else inside, at: {place}',
        '; '.join(faults),
        len(faults),
        f'{refused} refused in one sentence that names the file'
        + ('; what the place does not read is ignored' if harmless else '')
        + '; no code ran',
    )


WRONG_PARTS = {
    'meta': [None, [], 'x'],
    'meta.epoch': [None, 'one', 1.5, [1]],
    'meta.iter': [None, 'ten'],
    'message_hub': [None, []],
    'message_hub.log_scalars': [[], None, {'loss': 3, 'train/loss': dict(a=1)}],
    'message_hub.runtime_info': [[1], 'x'],
    'optimizer': [None, [], {}, dict(state={}, param_groups=[])],
    'optimizer.state': [[], 'x'],
    'param_schedulers': [3, [3], [[]]],
    'meta.education': [None, [], 'low', {}],
    'meta.education.grade': [None, 3, 'nowhere', ['low']],
    'meta.education.seen': [None, 'all', [0, 'one'], [0, 5]],
    'meta.education.curriculum': [None, [], {}, dict(grades=3), dict(grades=[3])],
    'meta.education.teachers': [None, 'x', ['x'], [dict(name=3, classes=[0])]],
    'meta.education.history': [None, [], dict(low=3), dict(low=dict(top1='x'))],
    'meta.education.validated': [None, 'x'],
    'meta.education.accuracy': [None, 3],
}


@pytest.mark.slow
def test_a_part_of_another_type_stops_a_resumed_run(school, tmp_path, report):
    config, folder = school
    path, count = tmp_path / 'faulty.pth', 0
    for place, values in WRONG_PARTS.items():
        for value in values:
            checkpoint = torch.load(folder / 'run' / 'epoch_1.pth')
            *parents, key = place.split('.')
            holder = checkpoint
            for parent in parents:
                holder = holder[parent]
            holder[key] = value
            torch.save(checkpoint, path)
            with pytest.raises(ConfigurationError) as error:
                as_resumed(config, path, tmp_path)
            sentence_of(error, path)
            count += 1
    report(
        AREA,
        'a training checkpoint with a part of another type',
        f'each of {", ".join(WRONG_PARTS)} missing or of a wrong type',
        count,
        'refused in one sentence that names the file, before training',
    )


def test_a_state_of_the_optimizer_that_is_no_number_is_named(school, tmp_path, report):
    config, folder = school
    checkpoint = torch.load(folder / 'run' / 'epoch_1.pth')
    checkpoint['optimizer']['state'][2]['momentum_buffer'].fill_(float('nan'))
    path = tmp_path / 'nan.pth'
    torch.save(checkpoint, path)
    with pytest.raises(ConfigurationError) as error:
        as_resumed(config, path, tmp_path)
    sentence_of(error, path, 'optimizer.state.2.momentum_buffer')
    report(
        AREA,
        'NaN in the state of the optimizer',
        'in a checkpoint to resume from',
        1,
        'refused; the sentence names the tensor',
    )


def test_a_hostile_backbone_checkpoint_never_runs(school, tmp_path, report):
    config, folder = school
    marker = tmp_path / 'marker'
    torch.save(dict(state_dict=dict(w=torch.zeros(1)), meta=Code(marker)), tmp_path / 'code.pth')
    os.mkfifo(tmp_path / 'pipe.pth')
    torch.save(dict(state_dict=[1]), tmp_path / 'list.pth')
    wide = build(resnet(base_channels=8)).state_dict()
    torch.save(dict(state_dict=wide), tmp_path / 'other_shapes.pth')
    for name in ('code', 'pipe', 'list', 'missing', 'other_shapes'):
        changed = copy.deepcopy(config)
        changed.model.architecture.backbone.init_cfg = dict(
            type='Pretrained', checkpoint=str(tmp_path / f'{name}.pth'), prefix='backbone.'
        )
        with pytest.raises(ConfigurationError) as error:
            run_to_the_end_of_loading(changed, tmp_path)
        sentence_of(error, f'{name}.pth', 'init_cfg of ResNet_CIFAR')
    assert not marker.exists()
    changed.model.architecture.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=str(folder / 'teacher.pth'), prefix='backbone.'
    )
    run_to_the_end_of_loading(changed, tmp_path)
    report(
        AREA,
        "a part of the student with `init_cfg=dict(type='Pretrained')`",
        'code, a pipe, a list, a missing file, a network of which nothing fits',
        5,
        'refused in one sentence that names the file; no code ran',
    )


# ---- downloads
def test_what_a_server_sends_instead_of_a_checkpoint_is_not_kept(tmp_path, monkeypatch, report):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    torch.save(dict(w=torch.ones(1000)), tmp_path / 'whole.pth')
    marker = tmp_path / 'marker'
    torch.save(dict(w=torch.ones(1), x=Code(marker)), tmp_path / 'code.pth')
    whole = (tmp_path / 'whole.pth').read_bytes()
    bodies = {
        '/page.pth': (b'<html>Please log in</html>', 0),
        '/short.pth': (whole[:2000], len(whole) - 2000),
        '/code.pth': ((tmp_path / 'code.pth').read_bytes(), 0),
        '/nothing.pth': (b'', 0),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body, missing = bodies[self.path]
            self.send_response(200)
            self.send_header('Content-Length', str(len(body) + missing))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01))
    thread.start()
    try:
        for name in bodies:
            url = f'http://127.0.0.1:{server.server_port}{name}'
            with pytest.raises(ConfigurationError) as error:
                resolve_checkpoint(url)
            sentence_of(error, url)
            assert not os.listdir(os.path.join(torch.hub.get_dir(), 'checkpoints'))
        bodies['/short.pth'] = (whole, 0)
        path = resolve_checkpoint(f'http://127.0.0.1:{server.server_port}/short.pth')
        assert torch.equal(load_checkpoint_file(path)['w'], torch.ones(1000))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert not marker.exists()
    report(
        AREA,
        'a server sends something else',
        'a page, half of the file, code, nothing',
        len(bodies),
        'refused in one sentence that names the URL, and not kept: the next try downloads again',
    )


# ---- configs
CONFIGS = {
    'syntax': b'model = dict(type="EducationDistill"\n',
    'raises': b'_base_ = []\nraise ValueError("no")\n',
    'leaves': b'_base_ = []\nimport sys\nsys.exit(0)\n',
    'bytes': bytes(range(256)),
    'latin': 'model = "é"'.encode('latin-1'),
    'empty': b'',
    'blank': b'\n\n',
    'no_model': b'default_scope = "mmpretrain"\n',
    'own_base': b'_base_ = "own_base.py"\nmodel = dict()\n',
    'no_base': b'_base_ = "nowhere.py"\nmodel = dict()\n',
    'no_package': b'_base_ = "nowhere::resnet/x.py"\nmodel = dict()\n',
    'undefined': b'_base_ = []\nmodel = student\n',
    'no_import': b'_base_ = []\ncustom_imports = dict(imports=["no_such_module"])\nmodel = dict()\n',
    'deep': b'model = ' + b'[' * 5000 + b']' * 5000 + b'\n',
}


@pytest.mark.slow
def test_a_config_file_that_cannot_be_read_is_one_sentence(tmp_path, capsys, report):
    paths = []
    for name, content in CONFIGS.items():
        paths.append(tmp_path / f'{name}.py')
        paths[-1].write_bytes(content)
    for kind, content in (('json', '{"model": '), ('yaml', 'model: [1'), ('txt', 'model = 1')):
        paths.append(tmp_path / f'broken.{kind}')
        paths[-1].write_text(content)
    paths += [tmp_path / f'{name}.py' for name in ('loop', 'directory', 'pipe', 'missing')]
    (tmp_path / 'loop.py').symlink_to(tmp_path / 'loop.py')
    (tmp_path / 'directory.py').mkdir()
    os.mkfifo(tmp_path / 'pipe.py')
    assert stat.S_ISFIFO(os.stat(tmp_path / 'pipe.py').st_mode)
    paths.append('/dev/zero')
    for path in paths:
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.simplefilter('ignore')
            run_tool('print_curriculum', [str(path)])
        assert end.value.code == 2, path
        lines = [line for line in capsys.readouterr().err.splitlines() if 'error: ' in line]
        assert len(lines) == 1 and str(path) in lines[0], (path, lines)
    report(
        AREA,
        'a config file that cannot be read',
        f'{", ".join(CONFIGS)}; broken JSON and YAML, another suffix; a symlink loop, a directory, '
        'a pipe, a device, a missing file',
        len(paths),
        'one sentence that names the file, exit status 2',
    )


def test_a_broken_recipe_of_a_teacher_is_written_anew(tmp_path):
    from edudistill_mm.apis.teachers import former_recipe

    config = Config(dict(model=dict(type='ImageClassifier')))
    ckpt, recipe = str(tmp_path / 'teacher.pth'), tmp_path / 'teacher' / 'config.py'
    assert former_recipe(ckpt) is None
    recipe.parent.mkdir()
    config.dump(str(recipe))
    assert former_recipe(ckpt).pretty_text == config.pretty_text
    for content in ('model = dict(', ''):
        recipe.write_text(content)
        assert former_recipe(ckpt) is None
