from typing import Any, Literal, NamedTuple


class Block(NamedTuple):
    """A part of a report, from which Markdown and HTML are written.

    ``content`` is a str for 'title', 'heading' and 'text' (in which backquotes mark code); a list of
    rows of cells, the first of which is the heading, for 'table'; path without extension and caption
    for 'plot'; a list of commands for 'commands'.
    """

    kind: Literal['title', 'heading', 'text', 'table', 'plot', 'commands']
    content: Any
