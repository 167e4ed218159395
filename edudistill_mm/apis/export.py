"""Turn a checkpoint of a run into a plain MMPretrain model."""

import inspect
import os
import os.path as osp
import textwrap
from typing import Any, Callable, Dict, Optional, Tuple

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry
from mmpretrain import registry as mmpretrain_registry
from mmrazor import registry as mmrazor_registry
from torch import Tensor, nn
from torch.func import functional_call

from edudistill_mm import registry
from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.checkpoint.form import check_form
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.state_dict_checks import not_finite, state_dict_mismatch
from edudistill_mm.checkpoint.weights import extract_state_dict
from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.datasets.class_lists import class_names_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module, build_network, dry_run
from edudistill_mm.models.students import FragmentedStudent, GradeStudent
from edudistill_mm.type_name import type_name

from .config import (
    curriculum_of,
    is_education,
    network_config,
    strip_teachers,
    types_in,
    without_metric,
)
from .data import check_classes
from .preparation import next_stage, preparation_of

STUDENT, REFERENCES = 'architecture.', 'architecture.references.'


def plain_student_state(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The student in a run's state dict, under the names of the plain model; empty if there is
    none."""
    return {
        name.removeprefix(STUDENT): tensor
        for name, tensor in state.items()
        if name.startswith(STUDENT)
        and not name.startswith((REFERENCES, f'{STUDENT}data_preprocessor.'))
    }


def plain_config(cfg: Config) -> Config:
    """Derive the config of the plain student: model, preprocessing and test data.

    Args:
        cfg (Config): Config of an :class:`EducationDistill` run.

    Returns:
        Config: An MMPretrain config. It imports this package only if the student or the data set
        is one of this package's or of MMRazor's, and for a data set only where the package is
        installed.
    """
    architecture, given = cfg.model.architecture, [cfg.model, cfg]
    if isinstance(architecture, dict) and type_name(architecture) == 'FragmentedStudent':
        given.append(architecture)
        architecture = architecture.student
    model = _without_scope(network_config(architecture, 'model.architecture'))
    # In the order in which the runner and the algorithm look for it.
    preprocessor = next((c.data_preprocessor for c in given if c.get('data_preprocessor')), None)
    if preprocessor is not None:
        model.pop('data_preprocessor', None)
    plain = Config(
        dict(
            default_scope='mmpretrain',
            custom_imports=_imports(model, _without_scope(cfg.get('test_dataloader'))),
            model=model,
        )
    )
    if preprocessor is not None:
        plain.data_preprocessor = _plain_preprocessor(_without_scope(preprocessor))
    _tell_label_width(plain)
    for key in ('test_dataloader', 'test_cfg', 'env_cfg', 'visualizer'):
        if cfg.get(key) is not None:
            plain[key] = _without_scope(cfg[key])
    if cfg.get('test_evaluator') is not None:
        plain.test_evaluator = _without_scope(without_metric(cfg.test_evaluator, 'GradeAccuracy'))
    if plain.custom_imports is None:
        plain.pop('custom_imports')
    return plain


def grade_student_config(cfg: Config, student: FragmentedStudent) -> Config:
    """Derive the config of the student as it is at its current grade.

    Args:
        cfg (Config): Config of the :class:`EducationDistill` run.
        student (FragmentedStudent): The run's student.

    Returns:
        Config: :func:`plain_config`, unless the student is at a lower depth or a part of the
        classes is taught: then with :class:`GradeStudent` around that model.

    Raises:
        ConfigurationError: If the teaching reference is of a type that cannot be written so.
    """
    plain = plain_config(cfg)
    if student.at_full_depth and student.seen.complete:
        return plain
    model = dict(type='GradeStudent', student=plain.model, seen=list(student.seen.classes))
    reference = student.reference
    if reference is not None:
        if not hasattr(reference, 'layers'):
            raise ConfigurationError(
                f'architecture.reference of type {type(reference).__name__} has no method "layers", '
                f'which names the layers of torch that do the same'
            )
        cut = student.cuts[student.depth - 1]
        layout, classifier = student.trace.features[cut], reference.head.fc
        model.update(
            cut=cut,
            unused=[name for name in student.unused_modules() if name != 'head'],
            channels_last=layout.channels_last,
            prefix=layout.prefix if layout.tokens else None,
            adapter=reference.layers(),
            head=dict(
                type='LinearClsHead',
                num_classes=classifier.out_features,
                in_channels=classifier.in_features,
            ),
        )
    plain.model = model
    return plain


def grade_student_state(
    state: Dict[str, Tensor], config: Config, student: FragmentedStudent
) -> Dict[str, Tensor]:
    """The tensors of a run's state dict that the model of :func:`grade_student_config` has."""
    plain = plain_student_state(state)
    unused = tuple(f'{name}.' for name in (*config.model.get('unused', ()), 'head'))
    if config.model.get('cut') is None:
        return plain
    prefix = f'{REFERENCES}{student.depth - 1}.'
    own = {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}
    return {name: plain[name] for name in plain if not name.startswith(unused)} | own


def grade_meta(meta: dict, grade: Grade) -> dict:
    """What a student's ``meta`` says of its grade: name, and the taught classes with their names.

    Args:
        meta (dict): ``meta`` of the run's checkpoint.
        grade (Grade): The grade.
    """
    names = (meta.get('dataset_meta') or {}).get('classes') or ()
    seen = {label: names[label] if label < len(names) else str(label) for label in grade.seen}
    return dict(grade=grade.name, seen_classes=seen)


def grade_of_export(path: str) -> Optional[str]:
    """Say of which grade an exported student is, if it is not complete.

    Args:
        path (str): The exported checkpoint.

    Returns:
        str | None: The rest of a sentence.
    """
    meta = load_checkpoint_file(path)['meta']
    if 'grade' not in meta:
        return None
    curriculum = meta['education']['curriculum']
    names = [grade['name'] for grade in curriculum['grades']]
    return (
        f'that of grade {names.index(meta["grade"]) + 1} of {len(names)} "{meta["grade"]}" and knows '
        f'{len(meta["seen_classes"])} of {curriculum["num_classes"]} classes'
    )


def config_text(config: Config) -> str:
    """What to write into a config's file; with the definition of :class:`GradeStudent`, if the
    model is one."""
    text = config.pretty_text
    if config.model.type != 'GradeStudent':
        return text
    source = textwrap.indent(inspect.getsource(inspect.getmodule(GradeStudent)), '    ')
    # The _base_ tells MMEngine that this is no lazy config, although it imports something.
    return (
        '# The student of a lower grade: its first fragments with their own head. Its model is\n'
        '# defined here, so that MMPretrain alone can load it.\n'
        '_base_ = []\n\n\n'
        f'def _define_grade_student():\n{source}\n'
        "    MODELS.register_module(name='GradeStudent', module=GradeStudent, force=True)\n\n\n"
        f'_define_grade_student()\n\n{text}'
    )


def _plain_preprocessor(preprocessor: dict) -> dict:
    """The preprocessor as MMPretrain's classifiers take it.

    MMRazor's configs name MMEngine's, which MMPretrain's ``ImageClassifier`` refuses to build:
    it hands on batch augmentations. MMPretrain's own computes the same.
    """
    if next(types_in(preprocessor), None) != 'ImgDataPreprocessor':
        return preprocessor
    plain = ConfigDict(preprocessor, type='ClsDataPreprocessor')
    # Both turn the channels around.
    turns = [plain.pop(key, False) for key in ('bgr_to_rgb', 'rgb_to_bgr')]
    plain.pop('non_blocking', None)
    return ConfigDict(plain, to_rgb=any(turns))


def _tell_label_width(plain: Config) -> None:
    """Give a preprocessor that makes one-hot labels the number of classes, as
    :class:`EducationDistill` does: it makes them in tests too, where nothing reads them."""
    owner = plain if plain.get('data_preprocessor') else plain.model
    preprocessor = owner.get('data_preprocessor') or {}
    makes = preprocessor.get('to_onehot') or preprocessor.get('batch_augments')
    width = (plain.model.get('head') or {}).get('num_classes')
    if width is not None and (makes or plain.model.get('train_cfg')):
        owner['data_preprocessor'] = {'num_classes': width, **preprocessor}


def _without_scope(node: Any) -> Any:
    """A copy of a part of a config that names MMRazor only where it means a class of MMRazor, and
    classes by their names, which alone can be written into a file.

    What a config inherits from MMRazor's bears its scope, also classes of other packages.
    """
    if isinstance(node, (list, tuple)):
        return type(node)(map(_without_scope, node))
    if not isinstance(node, dict):
        return node
    bare = type(node)((key, _without_scope(value)) for key, value in node.items())
    if callable(bare.get('type')):
        bare['type'] = _name_of(bare['type'])
    if bare.get('_scope_') == 'mmrazor' and not _is_of_mmrazor(bare.get('type')):
        del bare['_scope_']
    return bare


def _name_of(cls: Callable) -> str:
    """The name by which MMPretrain finds a class: that in its registries, or its full path."""
    for scope, nodes in (('', mmpretrain_registry), ('mmrazor.', mmrazor_registry)):
        for node in vars(nodes).values():
            if isinstance(node, Registry) and node.get(cls.__name__) is cls:
                return f'{scope}{cls.__name__}'
    return f'{cls.__module__}.{cls.__qualname__}'


def _is_of_mmrazor(kind: Any) -> bool:
    """Whether a ``type`` in MMRazor's scope is a class of MMRazor."""
    own = (mmrazor_registry.MODELS, mmrazor_registry.DATASETS, mmrazor_registry.TRANSFORMS)
    return isinstance(kind, str) and any(kind in registry.module_dict for registry in own)


def _names_mmrazor(node: Any) -> bool:
    if isinstance(node, dict):
        kind = node.get('type')
        if node.get('_scope_') == 'mmrazor' or str(kind).startswith('mmrazor.'):
            return True
        return any(map(_names_mmrazor, node.values()))
    return isinstance(node, (list, tuple)) and any(map(_names_mmrazor, node))


def _imports(model: dict, loader: Any) -> Optional[dict]:
    ours = {*registry.MODELS.module_dict}
    # MMRazor's models cannot be imported on today's torch without this package.
    if ours.intersection(types_in(model)) or _names_mmrazor(model):
        return dict(
            imports=['edudistill_mm.models', 'edudistill_mm.datasets'], allow_failed_imports=False
        )
    data = {*registry.DATASETS.module_dict}
    if data.intersection(types_in(loader)) or _names_mmrazor(loader):
        return dict(imports=['edudistill_mm.datasets'], allow_failed_imports=True)
    return None


def export_student(cfg: Config, checkpoint: str, out: str) -> Tuple[str, str]:
    """Write the student of a checkpoint as a plain MMPretrain checkpoint with its config.

    Of a checkpoint of a lower grade it is the student of that grade; see
    :func:`grade_student_config`. What was written is read back: the plain model must take all of
    its tensors and give the very class scores of the run's student.

    Args:
        cfg (Config): What :func:`load_config` returned for an :class:`EducationDistill` run or
            plain distillation.
        checkpoint (str): A checkpoint of it, of any grade; also one that MMRazor's own
            ``SingleTeacherDistill`` has written.
        out (str): The file to write, ``<name>.pth``; its config becomes ``<name>.py``.

    Returns:
        tuple[str, str]: Path of the checkpoint and of the config.

    Raises:
        ConfigurationError: If the checkpoint is unreadable or does not belong to the config, or
            the config is that of a stage without a student.
    """
    reason = preparation_of(cfg)
    if reason is not None:
        raise ConfigurationError(
            f'checkpoint "{checkpoint}" has no student to export, because {reason}; {next_stage(checkpoint)}'
        )
    if not is_education(cfg):
        raise ConfigurationError(
            'model.type must be EducationDistill or SingleTeacherDistill here, but is '
            f'"{cfg.model.get("type")}"'
        )
    curriculum_of(cfg)
    config_out = f'{osp.splitext(out)[0]}.py'
    if config_out == out or osp.isdir(out):
        raise ConfigurationError(f'OUT must be a file such as "student.pth", not "{out}"')
    loaded = load_checkpoint_file(checkpoint)
    check_form(loaded, checkpoint, resume=False)
    run_state = extract_state_dict(loaded, f'checkpoint "{checkpoint}"')
    if not plain_student_state(run_state):
        raise ConfigurationError(
            f'checkpoint "{checkpoint}" holds no student (no tensor "{STUDENT}..."): give a '
            'checkpoint of the run'
        )
    check_classes(cfg, class_names_of(loaded), f'"{checkpoint}"', ('test_dataloader',))
    meta = loaded.get('meta') or {}
    kept = {key: meta[key] for key in ('dataset_meta', 'education') if key in meta}
    algorithm = build_module(strip_teachers(cfg).model.to_dict(), 'model', 'mmpretrain')
    grade = _grade_of(algorithm.curriculum, meta.get('education'), checkpoint)
    algorithm.set_grade(grade)
    student = algorithm.student
    plain = grade_student_config(cfg, student)
    state = grade_student_state(run_state, plain, student)
    if plain.model.type == 'GradeStudent':
        kept.update(grade_meta(meta, grade))
    os.makedirs(osp.dirname(out) or '.', exist_ok=True)
    # Written aside until it has been checked.
    part = f'{out}.part'
    try:
        with open(part, 'wb') as file:
            torch.save(dict(meta=kept, state_dict=state), file)
        exported = load_checkpoint_file(part)['state_dict']
        _check(student, plain, run_state, exported, checkpoint)
        os.replace(part, out)
    finally:
        if osp.exists(part):
            os.remove(part)
    atomic_write(config_out, lambda file: file.write(config_text(plain).encode()))
    return out, config_out


def _grade_of(curriculum: Curriculum, education: Any, source: str) -> Grade:
    """The grade of a checkpoint: the last one, unless its ``meta`` names another."""
    if not education or education['grade'] == education['curriculum']['grades'][-1]['name']:
        return curriculum.grades[-1]
    for grade in curriculum.grades:
        if grade.name == education['grade'] and list(grade.seen) == list(education['seen']):
            return grade
    raise ConfigurationError(
        f'checkpoint "{source}" was saved in grade "{education["grade"]}" with '
        f'{len(education["seen"])} classes seen, which the curriculum of the config does not have; '
        'export it with the config of its run'
    )


def _check(
    student: FragmentedStudent,
    plain: Config,
    state: Dict[str, Tensor],
    exported: Dict[str, Tensor],
    source: str,
) -> None:
    """Compare the plain model with exported tensors to the run's student with the original
    ones."""
    model = build_plain(plain)
    difference = misfit_of_load(model, exported)
    if difference is not None:
        raise ConfigurationError(
            f'checkpoint "{source}" does not fit the student of the config: {difference}'
        )
    broken = not_finite(exported, model)
    if broken is not None:
        raise ConfigurationError(
            f'checkpoint "{source}" holds weights that are no numbers (NaN or infinite), the first in '
            f'"{STUDENT}{broken}"'
        )
    own = {name.removeprefix(STUDENT): state[name] for name in state if name.startswith(STUDENT)}
    wanted = student.state_dict()
    # Of other grades' references the checkpoint may have others.
    fitting = {
        name: own[name] for name in wanted if name in own and own[name].shape == wanted[name].shape
    }
    student.load_state_dict(fitting, strict=False)
    if not gives_same_scores(model, student, {}):
        raise ConfigurationError(
            f'the plain student of "{source}" gives other class scores than the student of the run'
        )


def build_plain(plain: Config) -> nn.Module:
    """Build the model of a plain student's config as ``mmpretrain.get_model`` does, with its
    preprocessor."""
    model = plain.model.to_dict()
    if plain.get('data_preprocessor') is not None:
        model['data_preprocessor'] = plain.data_preprocessor.to_dict()
    return build_network(model, 'model.architecture')


def misfit_of_load(model: nn.Module, state: Dict[str, Tensor]) -> Optional[str]:
    """Load a model from a state that must be its whole one.

    Args:
        model (nn.Module): The model.
        state (dict[str, Tensor]): Its tensors.

    Returns:
        str | None: The first difference, a part of a sentence; None if all has been loaded.
    """
    difference = state_dict_mismatch(model.state_dict(), state)
    if difference is not None:
        return difference
    # Not strict: some networks take tables that they compute themselves out of what they load.
    more = model.load_state_dict(state, strict=False).unexpected_keys
    return f'it has {len(more)} tensors more, the first is "{more[0]}"' if more else None


def gives_same_scores(
    model: nn.Module, student: FragmentedStudent, state: Dict[str, Tensor]
) -> bool:
    """Compare a plain model with a run's student at its current grade, on two images of noise.

    Args:
        model (nn.Module): The plain model.
        student (FragmentedStudent): The run's student.
        state (dict[str, Tensor]): Tensors that the student has for the comparison instead of its
            own; those of a saved checkpoint, of averaged weights for example.

    Returns:
        bool: Whether all class scores are equal.
    """

    def scores(network: nn.Module, tensors: Dict[str, Tensor]) -> Tensor:
        def forward(image: Tensor) -> Tensor:
            noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
            inputs = (noise.to(image.device),)
            output = functional_call(network, tensors, inputs, dict(mode='tensor'))
            return sum(output) if isinstance(output, tuple) else output

        return dry_run(network, forward, student.trace.image_shape)

    # One device, hence one way of computing; what is not a number is compared as a large one.
    device = next((p.device for p in student.parameters()), torch.device('cpu'))
    state = {name: tensor.to(device) for name, tensor in state.items()}
    plain, own = scores(model.to(device), {}), scores(student, state)
    return torch.equal(plain.nan_to_num(), own.nan_to_num())
