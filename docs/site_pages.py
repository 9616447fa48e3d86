"""What the site has beside docs/: the README as its first page, and the files of the repository that pages link to.

A hook of MkDocs (https://www.mkdocs.org/user-guide/configuration/#hooks). On a git host a page may link to any file of
the repository; a site holds only what lies in docs/. So each linked file outside it becomes a file of the site, and
links are rewritten to lead there.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
"""Pages outside docs/, and their names on the site."""
LINK = re.compile(r"(\]\()([^)\s#:]+)(?=[)#])")
"""The target of a relative link, without its anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and what any page links to outside it."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    linked = {
        _of_repository(link[2], page.src_uri)
        for page in files.documentation_pages()
        for link in LINK.finditer(page.content_string)
    }
    for source in sorted(linked):
        if not source.startswith("docs/") and source not in PAGES and (ROOT / source).is_file():
            files.append(File.generated(config, f"files/{source}", abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links that leave docs/, and those of the pages that lie outside it; let search show the API last."""
    if page.file.src_uri == "reference.md":  # it holds every word there is
        page.meta["search"] = {"boost": 0.1}

    def rewritten(link: re.Match[str]) -> str:
        source = _of_repository(link[2], page.file.src_uri)
        target = PAGES.get(source) or source.removeprefix("docs/")
        if target == source and files.get_file_from_path(f"files/{source}"):
            target = f"files/{source}"
        return link[1] + posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(rewritten, markdown)


def _of_repository(target: str, page: str) -> str:
    """Return the path in the repository to which a page of the site links."""
    folder = "" if page in PAGES.values() else posixpath.dirname(f"docs/{page}")
    return posixpath.normpath(posixpath.join(folder, target))
