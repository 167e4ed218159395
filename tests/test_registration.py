import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope
from surroundings import python_path

from edudistill_mm import register_all_modules

ROOT = Path(__file__).resolve().parents[1]
# One class of each registry of this package, and one of MMPretrain and MMRazor each.
SCRIPT = """
import json, sys
for name in sys.argv[2].split(','):
    __import__(name)
lazy = not any(name in sys.modules for name in ('edudistill_mm.models', 'edudistill_mm.engine'))
from mmengine import registry
names = dict(
    MODELS='EducationDistill', HOOKS='GradeSchedulerHook', DATASETS='Digits', DATA_SAMPLERS='GradeSampler',
    METRICS='GradeAccuracy', OPTIM_WRAPPERS='BFloat16OptimWrapper', RUNNERS='EducationRunner',
)
found = []
with registry.DefaultScope.overwrite_default_scope(sys.argv[1]):
    for node, name in names.items():
        with getattr(registry, node).switch_scope_and_registry(None) as here:
            found.append((here.scope, here.get(name).__module__.split('.')[0]))
    with registry.MODELS.switch_scope_and_registry(None) as here:
        found.append([here.get(name).__name__ for name in ('mmrazor.KLDivergence', 'mmpretrain.VGG')])
print(json.dumps([lazy, found]))
"""


@pytest.mark.parametrize(
    ('scope', 'imported'),
    [
        ('mmpretrain', 'edudistill_mm'),
        pytest.param('mmrazor', 'mmrazor,edudistill_mm', marks=pytest.mark.slow),
        pytest.param('mmengine', 'edudistill_mm,mmpretrain.registry', marks=pytest.mark.slow),
    ],
)
def test_bare_names_are_found_once_the_package_is_imported_and_nothing_is_before(scope, imported):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SCRIPT, scope, imported],
        env={**os.environ, 'PYTHONPATH': python_path(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lazy, found = json.loads(done.stdout.splitlines()[-1])
    assert lazy
    assert found == [[scope, 'edudistill_mm']] * 7 + [['KLDivergence', 'VGG']]


def test_the_default_scope_is_set_where_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(DefaultScope, '_instance_dict', type(DefaultScope._instance_dict)())
    register_all_modules()
    assert DefaultScope.get_current_instance() is None
    register_all_modules(init_default_scope=True)
    assert DefaultScope.get_current_instance().scope_name == 'mmpretrain'
