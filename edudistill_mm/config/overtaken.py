"""Variables of a config that are set where nothing reads them any more."""

import ast
import inspect
import os
import os.path as osp
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from edudistill_mm.errors import ConfigurationError, did_you_mean

# What the runner and the tools take from a config by its name.
_LIVE = set(inspect.signature(Runner.__init__).parameters) | {
    'compile',
    'custom_imports',
    'dataset_name',
    'hold_out',
    'runner_type',
    'teacher_training',
    'tta_model',
    'tta_pipeline',
}
# It applies to all data sets where it is an option.
_DATA_ROOT = 'data_root'
_INTERPOLATION = re.compile(r'[\'"]?\{\{\s*(_base_(?:\.\w+)+)\s*\}\}[\'"]?')
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)


@dataclass(frozen=True)
class _File:
    """A config file.

    Attributes:
        path (str): Where it is.
        sets (set[str]): The variables that it sets.
        uses (Mapping[str, list[str]]): Of variables that it reads, its own or its bases', the
            places for which it does, as dotted keys.
        bases (tuple[_File, ...]): The files that it inherits from.
    """

    path: str
    sets: set[str]
    uses: Mapping[str, list[str]]
    bases: tuple['_File', ...]

    def lineage(self) -> list['_File']:
        """The file and all that it inherits from."""
        return [self, *(file for base in self.bases for file in base.lineage())]


def check_overtaken(path: str, cfg: Config, options: Mapping[str, Any]) -> None:
    """See that neither a config file nor an option sets what nothing reads.

    A base that says ``epochs = [60, 120]; train_cfg = dict(max_epochs=sum(epochs))`` is complete
    before a file that inherits from it sets ``epochs``, and MMEngine would change nothing else
    without a word.

    Args:
        path (str): The file, which MMEngine has read. Configs that come with a package are taken
            as they are.
        cfg (Config): What it says.
        options (Mapping[str, Any]): Values by dotted key that are to override it.

    Raises:
        ConfigurationError: For the first such variable; it names what has been made of it.
    """
    lineage: list[_File] = []
    if path.endswith('.py') and not Config._is_lazy_import(path):
        file = _read(path)
        lineage = file.lineage()
        _check_file(file, set())
    for key, value in options.items():
        name = key.split('.')[0]
        if name in _LIVE or name == _DATA_ROOT:
            continue
        if name not in cfg:
            possible = [part for part in cfg if part in _LIVE]
            raise ConfigurationError(
                f'--cfg-options "{key}" is for nothing in the config, which has no "{name}"'
                f'{did_you_mean(name, possible)}; possible are {", ".join(possible)}'
            )
        if any(name in other.uses for other in lineage) and not (
            key == name and cfg[name] == value
        ):
            raise _overtaken(f'--cfg-options {key}', name, lineage)


def _check_file(file: _File, read_later: set[str]) -> None:
    if f'{os.sep}.mim{os.sep}' in osp.abspath(file.path):
        return
    read = read_later.union(file.uses)
    for name in sorted(file.sets - _LIVE - read):
        before = [other for base in file.bases for other in base.lineage()]
        if not any(name in other.uses for other in before):
            continue
        # Only now, because it takes its time.
        new = Config.fromfile(file.path, import_custom_modules=False).get(name)
        bases = [Config.fromfile(base.path, import_custom_modules=False) for base in file.bases]
        if any(name in base and base[name] != new for base in bases):
            raise _overtaken(f'{name} of the config "{osp.normpath(file.path)}"', name, before)
    for base in file.bases:
        _check_file(base, read)


def _overtaken(what: str, name: str, before: Sequence[_File]) -> ConfigurationError:
    user = next(file for file in before if name in file.uses)
    places = [place for place in dict.fromkeys(_places(name, before, {name})) if place]
    made = f'made {", ".join(places)} of' if places else 'computed with'
    advice = 'give the run another length by --epochs N'
    if name != 'epochs':
        advice = f'set {" or ".join(places) or "what it has computed"} instead'
    return ConfigurationError(
        f'{what} changes nothing: "{osp.normpath(user.path)}" has {made} "{name}" before; {advice}'
    )


def _places(name: str, files: Sequence[_File], known: set[str]) -> Iterator[str]:
    """Where the value of a variable has gone, if need be by way of other variables."""
    for file in files:
        for place in file.uses.get(name, ()):
            first, dot, rest = place.partition('.')
            further = []
            if first not in _LIVE and first not in known:
                further = list(_places(first, files, known | {first}))
            for start in further or [first]:
                yield f'{start}{dot}{rest}'


def _read(path: str) -> _File:
    with open(path, encoding='utf-8') as file:
        tree = ast.parse(_INTERPOLATION.sub(r'\1', file.read()))
    sets: set[str] = set()
    uses: dict[str, list[str]] = {}
    for node in tree.body:
        targets = getattr(node, 'targets', [getattr(node, 'target', None)])
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(node, _ASSIGNMENTS):
            sets.update(names)
        for name, place in _readings(node, names[0] if names else ''):
            uses.setdefault(name, []).append(place)
    bases = [Config._get_cfg_path(base, path)[0] for base in Config._get_base_files(path)]
    return _File(path, sets, uses, tuple(_read(base) for base in bases if base.endswith('.py')))


def _readings(node: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    """The variables that a piece of code reads, each with the place for which it does."""
    if isinstance(node, ast.Attribute) and getattr(node.value, 'id', '') == '_base_':
        yield node.attr, place
    elif isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load):
            yield node.id, place
    else:
        for child in ast.iter_child_nodes(node):
            inside = child.arg if isinstance(child, ast.keyword) and place else None
            yield from _readings(child, f'{place}.{inside}' if inside else place)
