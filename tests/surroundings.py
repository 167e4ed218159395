"""What tests that start other processes have to know of the machine."""

import os

import pytest
import torch


def needs_fork():
    """Skip a test that is about to fork where CUDA is in use, which no child of a fork can use."""
    if torch.cuda.is_available():
        pytest.skip('forks; run without CUDA_VISIBLE_DEVICES')


def python_path(*folders):
    """PYTHONPATH of another process: some folders, and what this process has in its own."""
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get('PYTHONPATH')])])
