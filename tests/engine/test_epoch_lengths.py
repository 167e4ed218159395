import pytest
from torch.utils.data import DataLoader

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.engine.epoch_lengths import epoch_lengths
from edudistill_mm.errors import ConfigurationError


def test_a_loader_of_another_sampler_that_has_no_batch_is_refused_with_its_number_of_images():
    curriculum = Curriculum.from_cfg(dict(num_classes=2, grades=[dict(epochs=2, classes='all')]))
    loader = DataLoader(list(range(3)), batch_size=4, drop_last=True)
    with pytest.raises(ConfigurationError, match='it has 3 images, batch_size is 4'):
        epoch_lengths(curriculum, loader, None)
    assert epoch_lengths(curriculum, DataLoader(list(range(3)), batch_size=2), None) == [2, 2]
