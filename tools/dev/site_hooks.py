"""Hooks of MkDocs: the site has the repository's own paths, so that links work as they stand on GitHub."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r'(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)')
ROLE = re.compile(r':(?:class|func|meth|attr):<code>(?:~[\w.]+\.)?([\w.]+)</code>')
# What the pages of the API describe, by its name: edudistill_mm.grade.Grade by Grade.
IDENTIFIERS = {
    name.rpartition('.')[2]: name
    for page in (ROOT / 'docs' / 'api').glob('*.md')
    for name in re.findall(r'^::: (\S+)', page.read_text(), re.MULTILINE)
}


def pages() -> list[Path]:
    """All Markdown files of the site."""
    folders = (ROOT / name for name in ('docs', 'configs', 'weights'))
    return [*ROOT.glob('*.md'), *(page for folder in folders for page in folder.rglob('*.md'))]


def on_files(files: Files, config: Any) -> Files:
    """Give each file its path in the repository; the files that pages link to come along."""
    sources = [file for file in files if file.src_dir == config.docs_dir]
    paths = {Path(file.abs_src_path) for file in sources}
    for page in pages():
        targets = ((page.parent / link).resolve() for _, link, _ in LINK.findall(page.read_text()))
        paths |= {page, *(target for target in targets if target.is_file())}
    placed = [
        File(
            path.relative_to(ROOT).as_posix(),
            str(ROOT),
            config.site_dir,
            config.use_directory_urls,
        )
        for path in sorted(paths)
    ]
    return Files([file for file in files if file not in sources] + placed)


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """Let links to folders lead to their README.md; without one, only their words stay."""
    folder = (ROOT / page.file.src_uri).parent

    def rewritten(match: re.Match) -> str:
        words, target, _ = match.groups()
        if not (folder / target).is_dir():
            return match[0]
        readme = f'{target}/README.md'
        return f'[{words}]({readme})' if (folder / readme).exists() else words

    return LINK.sub(rewritten, markdown)


def on_page_content(html: str, **others: Any) -> str:
    """Make links of the roles in docstrings, such as :class:`Grade`."""

    def link(match: re.Match) -> str:
        code = f'<code>{match[1]}</code>'
        name = IDENTIFIERS.get(match[1])
        return f'<autoref identifier="{name}" optional>{code}</autoref>' if name else code

    return ROLE.sub(link, html)
