import torch

from edudistill_mm.apis.exchanged_outputs import exchanged_outputs, reordered_outputs


def exchanged(votes, outputs=None):
    """What is found where so many images of each class (row) go to each output (column)."""
    votes = torch.tensor(votes)
    rows = [(place, output) for place, output in votes.nonzero().tolist()]
    counts = torch.tensor([int(votes[row]) for row in rows])
    wanted, answers = (
        torch.tensor([row[side] for row in rows]).repeat_interleave(counts) for side in (0, 1)
    )
    return exchanged_outputs(answers, wanted, outputs or range(len(votes)))


def test_two_classes_that_go_to_each_others_outputs_are_exchanged():
    votes = [[2, 18, 0, 0], [16, 3, 1, 0], [0, 1, 19, 0], [0, 0, 4, 16]]
    assert exchanged(votes) == {0: 1, 1: 0}


def test_a_ring_of_classes_is_exchanged():
    assert exchanged([[0, 0, 9], [9, 0, 0], [0, 9, 0]]) == {0: 2, 1: 0, 2: 1}


def test_classes_that_are_alike_are_not():
    # Most images of 0 are taken for 1, but 1 is known.
    assert exchanged([[5, 45, 0], [2, 48, 0], [0, 0, 50]]) == {}
    # Neither is known.
    assert exchanged([[24, 26, 0], [26, 24, 0], [0, 0, 50]]) == {}
    # Two go to a third.
    assert exchanged([[0, 0, 50], [0, 0, 50], [40, 0, 10]]) == {}


def test_a_few_images_prove_nothing():
    assert exchanged([[0, 3, 0], [3, 0, 0], [0, 0, 3]]) == {}


def test_an_output_that_stands_for_no_class_may_be_the_right_one():
    # The first of a network's outputs is for the background, and has been forgotten.
    votes = [[0, 19, 1, 0], [0, 1, 18, 1], [1, 0, 0, 19]]
    assert exchanged(votes, [0, 1, 2]) == {0: 1, 1: 2, 2: 3}


def test_a_class_without_images_is_left_out():
    assert exchanged([[0, 20, 0], [20, 0, 0], [0, 0, 0]]) == {0: 1, 1: 0}


def test_outputs_in_another_order_are_found():
    wanted = torch.arange(4).repeat_interleave(5)
    turned = torch.tensor([1, 2, 3, 0])[wanted]
    assert reordered_outputs(turned, wanted, [0, 1, 2, 3]) == ([1, 2, 3, 0], 1.0)
    assert reordered_outputs(wanted, wanted, [0, 1, 2, 3]) is None


def test_a_weak_teacher_on_few_images_is_not_one_of_another_order():
    # Of 20 images 9 are right and 13 go to the favourite of their class, 7 of them to the right output.
    wanted = torch.arange(4).repeat_interleave(5)
    answers = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 2, 0, 2, 2, 2, 3, 0])
    assert int((answers == wanted).sum()) == 9
    assert reordered_outputs(answers, wanted, [0, 1, 2, 3]) is None
