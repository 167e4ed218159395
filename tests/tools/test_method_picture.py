import re
from xml.etree import ElementTree

import curricula_pictures
import pytest
from method_picture import COMMAND, PICTURE, WIDTH, picture
from page import check_page

from edudistill_mm.curriculum import Curriculum

PICTURES = {PICTURE: picture(), **curricula_pictures.PICTURES}


def test_the_pictures_are_what_their_tools_draw():
    check_page(PICTURE, picture(), COMMAND)
    for file, drawn in curricula_pictures.PICTURES.items():
        check_page(file, drawn, curricula_pictures.COMMAND)


@pytest.mark.parametrize('drawn', PICTURES.values(), ids=[file.stem for file in PICTURES])
def test_a_picture_is_small_legible_and_within_its_frame(drawn):
    assert len(drawn) < 20_000
    root = ElementTree.fromstring(drawn)
    texts = [element for element in root.iter() if element.tag.endswith('}text')]
    assert texts
    for element in texts:
        assert 0 < float(element.get('x')) < WIDTH
        assert 0 < float(element.get('y')) < float(root.get('height'))
    # At the width of a README page, of about 840 pixels, no letter is below 12.
    sizes = [int(size) for size in re.findall(r'(\d+)px', drawn)]
    assert min(sizes) * 840 / WIDTH > 12


def test_the_keys_in_the_pictures_make_the_curriculum_that_is_drawn():
    rows = [codes for codes, *_ in curricula_pictures.ROWS.values()]
    grades = [eval(f'dict(epochs=1, {", ".join(dict.fromkeys(codes))})') for codes in zip(*rows)]
    first, second, third = Curriculum.from_cfg(
        dict(num_classes=9, grades=grades), teachers=['first', 'new', 'all']
    ).grades
    assert [g.fragments for g in (first, second, third)] == [1, 2, 3]
    assert [len(g.seen) for g in (first, second, third)] == [3, 6, 9]
    assert first.teachers == ('first',)
    assert second.teachers == ('first', 'new', 'all')
    assert third.teachers == ('all',)
