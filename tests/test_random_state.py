import random

import numpy as np
import torch

from edudistill_mm.random_state import random_state, random_state_preserved, set_random_state


def draws():
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(3).tolist(),
        np.random.randn(),
        torch.rand(3).tolist(),
        torch.randn(1).item(),
    )


def test_a_state_that_went_through_a_file_gives_the_same_numbers(tmp_path):
    draws()
    torch.save(random_state(), tmp_path / 'state.pth')
    expected = draws()
    draws()
    set_random_state(torch.load(tmp_path / 'state.pth', weights_only=True))
    assert draws() == expected


def test_what_is_drawn_inside_has_no_effect_outside():
    state = random_state()
    expected = draws()
    set_random_state(state)
    with random_state_preserved():
        inside = draws()
        torch.manual_seed(1)
    assert inside == expected and draws() == expected
