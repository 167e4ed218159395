import re
from xml.etree import ElementTree

from method_picture import COMMAND, HEIGHT, PICTURE, WIDTH, picture
from page import check_page


def test_the_picture_of_the_method_is_what_its_tool_draws():
    check_page(PICTURE, picture(), COMMAND)


def test_the_picture_of_the_method_is_small_legible_and_within_its_frame():
    assert len(picture()) < 20_000
    root = ElementTree.fromstring(picture())
    texts = [element for element in root.iter() if element.tag.endswith('}text')]
    assert texts
    for element in texts:
        assert 0 < float(element.get('x')) < WIDTH and 0 < float(element.get('y')) < HEIGHT
    # At the width of a README page, of about 840 pixels, no letter is below 12.
    sizes = [int(size) for size in re.findall(r'(\d+)px', picture())]
    assert min(sizes) * 840 / WIDTH > 12
