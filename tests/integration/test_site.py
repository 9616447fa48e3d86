"""The site of docs/ shows what a git host shows: MkDocs reads Markdown by other rules in places, without a word."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import markdown
from markdown_it import MarkdownIt
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
ELEMENTS = ("h1", "h2", "h3", "h4", "li", "ol", "ul", "td", "th", "pre", "img", "em", "strong")


def elements(html: str) -> Counter[str]:
    return Counter(name for name in re.findall(r"<(\w+)[ >]", html) if name in ELEMENTS)


def test_lists_tables_and_code_are_the_same_on_the_site_and_on_a_git_host() -> None:
    config = load_config(str(ROOT / "mkdocs.yml"))
    site = markdown.Markdown(extensions=config.markdown_extensions, extension_configs=config.mdx_configs)
    host = MarkdownIt("commonmark").enable("table")
    differing = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        there, here = elements(host.render(text)), elements(site.reset().convert(text))
        if there != here:
            differing[page.name] = (there - here, here - there)
    assert differing == {}
