import numpy as np
import pytest
import torch
from mmengine.dataset import RepeatDataset
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.datasets import CIFAR100

from edudistill_mm.datasets.channel_order import channel_order
from edudistill_mm.datasets.naming_pipeline import NamingPipeline
from edudistill_mm.errors import ConfigurationError

LOAD, TO_PIL, TO_NUMPY = 'LoadImageFromFile', 'NumpyToPIL', 'PILToNumpy'


def with_pipeline(*pipeline, cls='BaseDataset', **kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(
            dict(type=cls, pipeline=list(pipeline), lazy_init=True, ann_file='', **kwargs)
        )


@pytest.mark.parametrize(
    'pipeline, order',
    [
        ([dict(type=LOAD)], 'bgr'),
        ([dict(type=LOAD, imdecode_backend='pillow')], 'bgr'),
        ([dict(type=LOAD), dict(type=TO_PIL, to_rgb=True)], 'rgb'),
        ([dict(type=LOAD), dict(type=TO_PIL)], 'bgr'),
        (
            [dict(type=LOAD), dict(type=TO_PIL, to_rgb=True), dict(type=TO_NUMPY, to_bgr=True)],
            'bgr',
        ),
        ([dict(type='PackInputs')], None),
    ],
)
def test_files_are_loaded_as_opencv_does_and_swapped_as_transforms_say(pipeline, order):
    assert channel_order(with_pipeline(*pipeline)) == order


def test_an_image_of_red_is_in_the_order_that_is_said(tmp_path):
    from PIL import Image

    Image.new('RGB', (4, 4), (255, 0, 0)).save(tmp_path / 'red.png')
    for pipeline, order in (
        ([dict(type=LOAD)], 'bgr'),
        ([dict(type=LOAD), dict(type=TO_PIL, to_rgb=True), dict(type=TO_NUMPY)], 'rgb'),
    ):
        dataset = with_pipeline(*pipeline)
        image = dataset.pipeline(dict(img_path=str(tmp_path / 'red.png')))['img']
        assert np.asarray(image)[0, 0].argmax() == order.index('r')
        assert channel_order(dataset) == order


def test_wrappers_load_as_what_they_wrap_and_cifar_is_rgb():
    class Offline(CIFAR100):
        def load_data_list(self):
            return [dict(img=np.zeros((2, 2, 3), np.uint8), gt_label=0)]

    cifar = Offline(data_root='nowhere', pipeline=[])
    assert channel_order(cifar) == channel_order(RepeatDataset(cifar, 2)) == 'rgb'
    cifar.pipeline = NamingPipeline(cifar.pipeline, 'CIFAR100')
    assert channel_order(torch.utils.data.ConcatDataset([cifar, cifar])) == 'rgb'


def test_a_data_set_may_say_it_itself():
    dataset = with_pipeline(dict(type=LOAD), metainfo=dict(channel_order='rgb'))
    assert channel_order(dataset) == 'rgb'
    dataset = with_pipeline(dict(type=LOAD), metainfo=dict(channel_order='grb'))
    with pytest.raises(ConfigurationError, match="channel_order='grb'; possible are rgb, bgr"):
        channel_order(dataset)


def test_what_is_no_data_set_of_mmengine_says_nothing():
    assert channel_order(torch.utils.data.TensorDataset(torch.zeros(2))) is None
