"""English: turns of phrase that a native engineer would not write, in whatever a user or a contributor reads.

Each pattern was common in an earlier text. There are no exceptions: whoever meets one here says it in the plain way.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from vitbench.cli import cli

ROOT = Path(__file__).parents[1]

WORST = {
    r"\b(?:one|once|ms|lines?|rows?|MiB) an? (?:line|call|image|cell|class|epoch|step|row|pair)\b": "per",
    r"\b(?:not|cannot|could|to) be had\b": "is not available",
    r"\btells? (?:whether|how|which|that|what|why|where|of|more|nothing|its|it)\b": "reports, says, shows",
    r"\bweigh(?:s|ed)?\b": "measures",
    r"\bfor certain\b": "significantly, certainly",
    r"\bheld? against\b|\bholds? against\b": "compared with",
    r"\bbut for\b": "except",
    r"(?<!there )\b(?:is|are|was|be) no (?:an? )?"
    r"(?:folder|file|directory|number|name|suite|model|dataset|metric|result|option|class|image|plugin|text|table)\b": (
        "is not a"
    ),
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bdata sets?\b": "dataset",
    r"\banew\b": "again, over",
    r"\bgo(?:es)? before\b": "overrides, takes precedence over",
    r"\bwhole or not at all\b": "atomically",
    r"\bwill do\b": "is enough, works",
    r"\bnames no (?:figure|metric|model|dataset)\b": "no such",
    r"\b(?:invalid|doubtful|published|stored) figures?\b": "number: a figure is a picture",
    r"\b(?:results?|plugins?|ones|those|folders?|keys?|stores?|numbers?) of (?:before|today|now)\b": "earlier, current",
    r"\b(?:take|takes|taken|taking) back\b": "withdraw",
    r"\b[Oo]ther (?!is|are|was)\w+(?: \w+)? than\b": "different ... from, ... other than",
    r"\b(?:ended|planned|computes|composed) otherwise\b|\bended well\b|\botherwise than\b": "differently; failed",
    r"\b[Ss]omebody else|\bof one's own\b": "someone else, your own",
    r"\blast words\b": "last output",
    r"\bare others\b|\b(?:is|are) another there\b": "differ, differs",
    r"\bmust hold\b|\bholds? no\b": "must contain, contains no",
    r"\b(?:pixels|tokens|tiles|columns|rows|images|classes|names|seeds) at (?:least|most)\b": "at least, at most N ...",
    r"\btuples? of texts\b|\btexts? of one line\b": "strings",
}
"""What is wrong, as a pattern, and what to say in its place."""


def texts() -> Iterator[tuple[str, str]]:
    """Give each text with the place where it stands: pages, --help, and all strings of the code, docstrings too."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.*")]:
        yield str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")
    for source in [*ROOT.glob("vitbench/**/*.py"), *ROOT.glob("plugins/**/*.py")]:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{source.relative_to(ROOT)}:{node.lineno}", node.value
    for page in [*ROOT.glob("vitbench/**/*.html"), *ROOT.glob("vitbench/**/*.js"), *ROOT.glob("plugins/**/*.toml")]:
        yield str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")
    commands: list[tuple[str, click.Command]] = [("vitbench", cli)]
    for name, command in commands:
        yield f"{name} --help", command.get_help(click.Context(command, info_name=name, **cli.context_settings))
        if isinstance(command, click.Group):
            commands += [(f"{name} {sub}", each) for sub, each in command.commands.items()]


def test_no_text_has_a_turn_of_phrase_that_nobody_writes() -> None:
    patterns = {re.compile(pattern): better for pattern, better in WORST.items()}
    found = []
    for place, text in texts():
        line = re.sub(r"\s+", " ", text)
        for pattern, better in patterns.items():
            found += [
                f'{place}: "{line[max(match.start() - 40, 0) : match.end() + 30]}"; better: {better}'
                for match in pattern.finditer(line)
            ]
    assert not found, "\n".join(found)
