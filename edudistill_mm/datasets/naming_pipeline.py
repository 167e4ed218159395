from collections.abc import Callable

from mmengine.dataset import Compose

from ..errors import DataError, reason_of


class NamingPipeline(Compose):
    """A data set's pipeline that names the sample it cannot read in a DataError.

    A transform that fails stops the run, as in MMEngine. To go on with another sample instead, a
    pipeline returns None, as MMCV's ``LoadImageFromFile(ignore_empty=True)`` does for a missing
    file; MMEngine's data sets then try up to ``max_refetch`` others.
    """

    def __init__(self, pipeline: Callable[[dict], dict | None], dataset: str) -> None:
        self.transforms = getattr(pipeline, 'transforms', [pipeline])
        self.dataset = dataset

    def __call__(self, data: dict) -> dict | None:
        """Transform an annotation; None if the pipeline gives the sample up."""
        path, number = data.get('img_path'), data.get('sample_idx')
        try:
            return super().__call__(data)
        except DataError:
            raise
        except Exception as error:
            place = f'"{path}"' if path is not None else f'number {number}'
            raise DataError(
                f'the sample {place} of {self.dataset} cannot be used: {reason_of(error)} '
                f'({type(error).__name__})'
            ) from error
