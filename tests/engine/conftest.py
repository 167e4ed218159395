import pytest
from runs import school_config


@pytest.fixture
def config(tmp_path):
    """Config of a short run of three grades with an expert each, on six classes."""
    return school_config(tmp_path)
