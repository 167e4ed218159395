from typing import Any

from mmcv.transforms import LoadImageFromFile, Normalize
from mmpretrain.datasets import CIFAR10
from mmpretrain.datasets.transforms import NumpyToPIL, PILToNumpy

from ..errors import ConfigurationError

ORDERS = ('rgb', 'bgr')


def channel_order(dataset: Any) -> str | None:
    """The order, 'rgb' or 'bgr', in which a data set gives channels to the data preprocessor.

    ``metainfo['channel_order']`` decides, if it is set. Otherwise the arrays of CIFAR are RGB,
    what ``LoadImageFromFile`` reads is BGR, and transforms of the pipeline may swap the order.
    None if the order cannot be known.
    """
    order = getattr(dataset, 'metainfo', {}).get('channel_order')
    if order is not None:
        if order not in ORDERS:
            raise ConfigurationError(
                f'metainfo of the data set {type(dataset).__name__} has channel_order={order!r}; '
                f'possible are {", ".join(ORDERS)}'
            )
        return order
    inner = getattr(dataset, 'dataset', None) or next(iter(getattr(dataset, 'datasets', ())), None)
    if inner is not None:
        return channel_order(inner)
    if isinstance(dataset, CIFAR10):  # CIFAR100 is one
        order = 'rgb'
    for transform in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if isinstance(transform, LoadImageFromFile):
            # All backends but tifffile return OpenCV's order.
            order = 'rgb' if transform.imdecode_backend == 'tifffile' else 'bgr'
        elif order is not None and (
            (isinstance(transform, (NumpyToPIL, Normalize)) and transform.to_rgb)
            or (isinstance(transform, PILToNumpy) and transform.to_bgr)
        ):
            order = other_order(order)
    return order


def other_order(order: str) -> str:
    """'bgr' for 'rgb', and the reverse."""
    return 'bgr' if order == 'rgb' else 'rgb'
