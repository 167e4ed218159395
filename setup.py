"""Installation of edudistill_mm, with the files that OpenMMLab's `mim` looks for inside the
package.

`mim` and MMEngine's `package::config` expect `edudistill_mm/.mim/` with configs, tools and
model-index.yml. A wheel holds copies of them; an editable install links to the checkout, so that
edits take effect.
"""

import os
import re
import shutil
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_FILES = ('configs', 'tools', 'model-index.yml')


def read(name):
    """Text of a file of the checkout, empty if there is none."""
    path = ROOT / name
    return path.read_text(encoding='utf-8') if path.exists() else ''


def version():
    return re.search(r"__version__ = '(.+)'", read('edudistill_mm/version.py')).group(1)


def requirements(name):
    return [line.strip() for line in read(f'requirements/{name}.txt').splitlines() if line.strip()]


def installed_versions(name):
    """Versions of a distribution in the environment that is installed into.

    pip hides that environment from an isolated build, but runs the build by its interpreter,
    whose folders sysconfig knows.
    """
    folders = [*sys.path, sysconfig.get_path('purelib'), sysconfig.get_path('platlib')]
    return [found.version for found in metadata.distributions(name=name, path=folders)]


def runtime_requirements():
    """What is needed beside what is there and takes the place of OpenMMLab's packages."""
    needed, onedl = requirements('runtime'), requirements('onedl')
    # Packages of OneDL have the import names of OpenMMLab's: one family must not be laid over the
    # other.
    if any(installed_versions(re.split('[<>=]', line)[0]) for line in onedl):
        openmmlab = ('mmcv-lite', 'mmengine', 'mmpretrain')
        return onedl + [line for line in needed if not line.startswith(openmmlab)]
    # The full mmcv, in a version that MMRazor accepts, serves as well as mmcv-lite, which installs
    # a folder of the same name.
    if any(re.match(r'2\.(0\.\d+|1\.0)(\+.*)?$', found) for found in installed_versions('mmcv')):
        return [line for line in needed if not line.startswith('mmcv-lite')]
    return needed


class BuildPy(build_py):
    """Adds `.mim` to the package: to the wheel's copy, or to the checkout for an editable
    install."""

    def run(self):
        super().run()
        package = (
            ROOT / 'edudistill_mm' if self.editable_mode else Path(self.build_lib, 'edudistill_mm')
        )
        mim = package / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in MIM_FILES:
            self.place(ROOT / name, mim / name)

    def place(self, source, target):
        if self.editable_mode:
            try:
                target.symlink_to(os.path.relpath(source, target.parent))
                return
            except OSError:  # Windows allows links to privileged users only
                pass
        if source.is_dir():
            # tools/dev and tools/gpu are for developers, who have the checkout, as quickstart.sh needs it.
            shutil.copytree(
                source,
                target,
                ignore=shutil.ignore_patterns('__pycache__', 'dev', 'gpu', 'quickstart.sh'),
            )
        else:
            shutil.copy(source, target)


setup(
    name='edudistill_mm',
    version=version(),
    description='Education distillation for MMRazor: a student network that grows grade by grade',
    author='the edudistill_mm developers',
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['edudistill_mm', 'edudistill_mm.*']),
    package_data=dict(edudistill_mm=['py.typed']),
    cmdclass=dict(build_py=BuildPy),
    python_requires='>=3.10,<3.13',
    install_requires=runtime_requirements(),
    extras_require={name: requirements(name) for name in ('tests', 'onnx', 'docs')},
    classifiers=[
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
    ],
    zip_safe=False,
)
