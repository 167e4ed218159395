"""A report as one HTML page that needs no other file and no network."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from .block import Block

UNITS = dict(
    k=1e3, s=1, min=60, h=3600, MFLOPs=1e6, GFLOPs=1e9, TFLOPs=1e12, PFLOPs=1e15, EFLOPs=1e18
)
ZOOM = 1.4
_NUMBER = re.compile(r'([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?) ?([A-Za-z]*)')
# No network: the browser itself refuses whatever is not in the page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid #8886; text-align: left; white-space: nowrap; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0; }
th button { cursor: pointer; }
th button::after { content: ' \\2195'; opacity: 0.4; }
th[aria-sort=ascending] button::after { content: ' \\2191'; opacity: 1; }
th[aria-sort=descending] button::after { content: ' \\2193'; opacity: 1; }
figure { margin: 1.5rem 0; }
figure img { display: block; max-width: 100%; background: #fff; padding: 0.5rem; }
figure img { box-sizing: border-box; border-radius: 6px; }
figcaption { margin-top: 0.4rem; }
code, pre { font-size: 0.85em; }
pre { overflow-x: auto; padding: 0.6rem; background: #8882; border-radius: 6px; }
"""
# Numbers are compared as numbers, and cells without one come last either way.
SCRIPT = """
for (const table of document.querySelectorAll('table')) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.firstChild.onclick = () => {
    const sign = head.getAttribute('aria-sort') === 'descending' ? 1 : -1;
    heads.forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', sign > 0 ? 'ascending' : 'descending');
    const key = row => row.cells[column].dataset.key;
    const text = row => row.cells[column].textContent;
    const compare = (a, b) => {
      const x = key(a), y = key(b);
      if (x === undefined || y === undefined)
        return x !== undefined ? -1 : y !== undefined ? 1 : sign * text(a).localeCompare(text(b));
      return sign * (x - y);
    };
    body.append(...[...body.rows].sort(compare));
  });
}
"""


def html_page(blocks: Sequence[Block]) -> str:
    """Write a page of blocks; tables are sorted by a click on a heading.

    The plots are those of their SVG files, which must be there.
    """
    title = next((html.escape(block.content) for block in blocks if block.kind == 'title'), '')
    return '\n'.join(
        [
            '<!DOCTYPE html>',
            '<html lang="en">',
            '<head>',
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{title}</title>',
            f'<style>{STYLE}</style>',
            '</head>',
            '<body>',
            *map(_element, blocks),
            f'<script>{SCRIPT}</script>',
            '</body>',
            '</html>\n',
        ]
    )


def number_in(cell: str) -> float | None:
    """The number with which a cell begins, in the smallest of its units; None if there is none.

    ``'1.2 TFLOPs'`` is 1.2e12, ``'63.2 ± 0.6'`` is 63.2, and a sum such as ``'8+8+16'`` is 32.
    """
    if re.match(r'\d+(\+\d+)+\b', cell):
        return sum(map(int, cell.split()[0].split('+')))
    found = _NUMBER.match(cell)
    if found is None:
        return None
    return float(found[1].replace(',', '')) * UNITS.get(found[2], 1)


def _element(block: Block) -> str:
    content = block.content
    if block.kind == 'title':
        return f'<h1>{html.escape(content)}</h1>'
    if block.kind == 'heading':
        return f'<h2>{html.escape(content)}</h2>'
    if block.kind == 'table':
        return _table(content)
    if block.kind == 'plot':
        path, caption = content
        image = Path(f'{path}.svg').read_bytes()
        data = base64.b64encode(image).decode()
        # Letters that are small enough for a paper are too small for a screen.
        width = ZOOM * float(re.findall(rb'width="([\d.]+)pt"', image)[0])
        caption = html.escape(caption)
        return (
            f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{caption}" style="width: {width:g}pt">'
            f'<figcaption>{caption}.</figcaption></figure>'
        )
    if block.kind == 'commands':
        return f'<pre><code>{html.escape(chr(10).join(content))}</code></pre>'
    text = re.sub('`([^`]*)`', r'<code>\1</code>', html.escape(content))
    return f'<p>{text}</p>'


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = ''.join(
        f'<th scope="col"><button type="button">{html.escape(cell)}</button></th>'
        for cell in rows[0]
    )
    lines = [f'<tr>{"".join(map(_cell, row))}</tr>' for row in rows[1:]]
    return '\n'.join(
        [
            '<div class="table"><table>',
            f'<thead><tr>{head}</tr></thead>',
            '<tbody>',
            *lines,
            '</tbody></table></div>',
        ]
    )


def _cell(text: str) -> str:
    number = number_in(text)
    key = '' if number is None else f' data-key="{number:.12g}"'
    return f'<td{key}>{html.escape(text)}</td>'
