from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import MODELS
from mmpretrain import get_model
from mmpretrain.structures import DataSample

from edudistill_mm.apis.test import test as evaluate
from edudistill_mm.config.data import build_dataset
from edudistill_mm.config.load import load_config
from edudistill_mm.config.plain_distillation import as_written
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.export_student import export_student
from edudistill_mm.registry import METRICS, register

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / 'configs' / 'digits'


@pytest.mark.parametrize(
    'ckpt', ['/nonexistent/teacher.pth', 'https://nowhere.invalid/teacher.pth']
)
def test_a_run_of_mmrazor_is_tested_without_its_teachers_checkpoint(tmp_path, ckpt):
    cfg = load_config(
        str(DIGITS / 'kd_resnet14x2_resnet14_digits.py'),
        {'model.teacher_ckpt': ckpt, 'test_dataloader.dataset.indices': 20},
        str(tmp_path / 'run'),
    ).cfg
    model = as_written(cfg).model.to_dict()
    model.pop('teacher_ckpt')
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta={}, state_dict=MODELS.build(model).state_dict()), path)
    assert 'accuracy/top1' in evaluate(RunConfig(cfg), str(path))


def test_the_student_of_a_run_of_mmrazor_is_exported_and_tested_alone(tmp_path):
    name = str(DIGITS / 'kd_resnet14x2_resnet14_digits.py')
    options = {'model.teacher_ckpt': None}
    cfg = load_config(name, options, str(tmp_path / 'run')).cfg
    algorithm = MODELS.build(as_written(cfg).model.to_dict())
    state = algorithm.state_dict()
    torch.save(dict(meta={}, state_dict=state), tmp_path / 'epoch_1.pth')
    out, _ = export_student(
        RunConfig(cfg), str(tmp_path / 'epoch_1.pth'), str(tmp_path / 'student.pth')
    )
    student = torch.load(out, weights_only=True)['state_dict']
    assert set(student) == set(algorithm.architecture.state_dict())
    model = get_model(str(tmp_path / 'student.py'), out)
    images = torch.rand(4, 3, 8, 8)
    algorithm.eval()
    assert torch.equal(model(images), algorithm.architecture(images))
    whole, alone = (
        evaluate(load_config(name, options, str(tmp_path / 'run')), str(tmp_path / file))
        for file in ('epoch_1.pth', 'student.pth')
    )
    assert whole['accuracy/top1'] == alone['accuracy/top1']


def test_the_config_that_a_run_has_left_is_not_replaced_by_that_of_a_test(tmp_path):
    name = 'kd_resnet14x2_resnet14_digits.py'
    options = {'model.teacher_ckpt': None, 'test_dataloader.dataset.indices': 20}
    run = load_config(str(DIGITS / name), options, str(tmp_path / 'run'))
    model = as_written(run.cfg).model.to_dict()
    torch.save(dict(meta={}, state_dict=MODELS.build(model).state_dict()), tmp_path / '1.pth')
    (tmp_path / 'run').mkdir()
    run.cfg.dump(tmp_path / 'run' / name)
    left = (tmp_path / 'run' / name).read_text()
    evaluate(run, str(tmp_path / '1.pth'))
    assert (tmp_path / 'run' / name).read_text() == left
    # That of the test lies beside its log.
    (own,) = (tmp_path / 'run').glob(f'*/{name}')
    assert list(own.parent.glob('*.log')) and Config.fromfile(own).train_cfg is None


def test_a_plain_training_has_no_student_to_export(tmp_path):
    cfg = load_config(str(DIGITS / 'student_resnet14_digits.py'), work_dir=str(tmp_path)).cfg
    message = 'EducationDistill or SingleTeacherDistill here, but is "ImageClassifier"'
    with pytest.raises(ConfigurationError, match=message):
        export_student(RunConfig(cfg), 'epoch_1.pth', 'student.pth')


@pytest.fixture
def lower_grade(tmp_path):
    """A run that is in its first grade, with the digits 0 to 3: its config and a checkpoint."""
    options = {'test_dataloader.dataset.indices': 40}
    options.update({f'model.teachers.{index}.ckpt': None for index in range(3)})

    def load(**more):
        name = str(ROOT / 'configs' / 'edu_kd_digits.py')
        return load_config(name, {**options, **more}, str(tmp_path / 'run')).cfg

    cfg = RunConfig(load()).without_teachers().cfg
    algorithm = MODELS.build(dict(cfg.model.to_dict(), data_preprocessor=cfg.data_preprocessor))
    grade = algorithm.curriculum.grades[0]
    algorithm.set_grade(grade)
    meta = dict(education=dict(grade=grade.name, seen=list(grade.seen)))
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta=meta, state_dict=algorithm.state_dict()), path)
    algorithm.eval()
    return load, str(path), algorithm


@register(METRICS)
class KeptScores(BaseMetric):
    """Gives the scores of all samples."""

    scores = None

    def process(self, data_batch, data_samples):
        self.results += [sample['pred_score'] for sample in data_samples]

    def compute_metrics(self, results):
        KeptScores.scores = torch.stack(results)
        return dict(count=len(results))


def test_tta_averages_the_scores_of_an_image_and_its_mirror_image_in_a_lower_grade(lower_grade):
    load, path, algorithm = lower_grade
    cfg = load(test_evaluator=[dict(type='KeptScores'), dict(type='GradeAccuracy')])
    assert 'seen/top1' in evaluate(RunConfig(cfg), path, tta=True)
    images = torch.stack(
        [sample['inputs'] for sample in build_dataset(load().test_dataloader.dataset)]
    )
    with torch.no_grad():
        plain, mirrored = (
            torch.stack(
                [
                    sample.pred_score
                    for sample in algorithm.test_step(
                        dict(inputs=views, data_samples=[DataSample() for _ in views])
                    )
                ]
            )
            for views in (images, images.flip(-1))
        )
    assert torch.allclose(KeptScores.scores, (plain + mirrored) / 2, atol=1e-6)
    assert (KeptScores.scores[:, 4:] == 0).all() and not torch.equal(KeptScores.scores, plain)


def test_views_and_merging_of_the_config_are_those_of_tta(lower_grade):
    load, path, _ = lower_grade
    once = [dict(type='TestTimeAug', transforms=[[dict(type='PackInputs')]])]
    cfg = load(tta_model=dict(type='mmpretrain.AverageClsScoreTTA'), tta_pipeline=once)
    assert evaluate(RunConfig(cfg), path, tta=True) == pytest.approx(
        evaluate(RunConfig(load()), path)
    )
    with pytest.raises(
        ConfigurationError, match='tta_pipeline must have a dict.type="TestTimeAug"'
    ):
        evaluate(RunConfig(load(tta_pipeline=[dict(type='PackInputs')])), path, tta=True)
    cfg = load()
    cfg.test_dataloader.dataset.pipeline = []
    with pytest.raises(ConfigurationError, match='--tta adds a flip .*give tta_pipeline'):
        evaluate(RunConfig(cfg), path, tta=True)


@pytest.mark.parametrize(
    'options', [{'model.teacher_ensemble': True}, {'model.calculate_student_loss': False}]
)
def test_a_student_is_built_without_what_only_its_teachers_need(options):
    config = 'configs/small/dkd-ensemble_resnet8x2-20-14x2_resnet20_small.py'
    algorithm = load_config(config, options).build_without_teachers()
    assert algorithm.student.num_classes == 20 and not algorithm.faculty.teachers
