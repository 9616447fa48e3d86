"""LaTeX, read back by pylatexenc; names mean nothing to TeX."""

from __future__ import annotations

import re
import unicodedata

import factories as f
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db
from pylatexenc.latexwalker import (
    LatexEnvironmentNode,
    LatexWalker,
)
from pylatexenc.latexwalker import (
    get_default_latex_context_db as syntax,
)
from pylatexenc.macrospec import MacroSpec

from vitbench.leaderboard.leaderboard import build
from vitbench.printable import plain
from vitbench.report import render
from vitbench.report.latex import escaped

HOSTILE = [
    *("{", "}", "\\", "$x$", "a & b", "#1", "50 %", "a_b", "x^2", "~", "<b>", "|", '"q"', "it's", "`c`"),
    *(
        "---",
        ",,",
        "''",
        "``",
        "?`",
        "!`",
        "<<",
        "\u00b1 5",
        "[x]",
        "*",
        "\\end{table}",
        "\\input{/etc/passwd}",
        "%",
        "  two  ",
        "\x1b",
    ),
]


def read(latex: str) -> str:
    """Return the text that LaTeX prints."""
    grammar, words = syntax(), get_default_latex_context_db()
    grammar.add_context_category("symbol", macros=[MacroSpec("symbol", "{")], prepend=True)
    printed = {"textquotesingle": "'", "textasciigrave": "`", "textbar": "|", "symbol": '"', " ": " ", "&": "&"}
    printed |= {"textpm": "\u00b1", "textless": "<", "textgreater": ">", "textasciicircum": "^"}
    words.add_context_category(
        "here", macros=[MacroTextSpec(name, simplify_repl=text) for name, text in printed.items()], prepend=True
    )
    nodes, *_ = LatexWalker(latex, latex_context=grammar, tolerant_parsing=False).get_latex_nodes()
    return LatexNodes2Text(latex_context=words, strict_latex_spaces=True).nodelist_to_text(nodes)


def expected(text: str) -> str:
    """Return what is to be printed: letters with one usual accent as they are, others beyond ASCII as escapes."""

    def shown(character: str) -> str:
        parts = unicodedata.normalize("NFD", character)
        usual = len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in ACCENTS
        known = character.isascii() or character == "\u00b1" or usual
        return character if known else character.encode("unicode_escape").decode()

    return "".join(map(shown, unicodedata.normalize("NFC", plain(text))))


ACCENTS = "\u0300\u0301\u0302\u0303\u0308\u0304\u0306\u0307\u030a\u030b\u030c\u0327"


def table_of(latex: str) -> list[list[str]]:
    """Return the cells of the first table."""
    inside = latex.partition("\\midrule\n")[2].partition("\\bottomrule\n")[0]
    return [line.split(" & ") for line in inside.split(" \\\\\n")[:-1]]


def test_the_whole_table():
    records = [
        *(f.quality("vit_p2", 340), f.quality("b", 338)),
        f.record(f.quality_cell("c"), status="failed", reason="50 % left"),
    ]
    assert (
        render(build(records, [], "top1"), "latex")
        == r"""% Needs \usepackage{booktabs}; LaTeX before 2020 also \usepackage{textcomp}.

\begin{table}
\centering
\caption{digits: AMD EPYC 9B14, 2 cores; cpu, 1 thread; float32.}
\label{tab:vitbench-1}
\small
\begin{tabular}{rlrr}
\toprule
 &  & top1 & 95 \% \\
rank & model & \% & interval \\
\midrule
1--2 & vit\_p2 & 94.4 & [91.6, 96.4] \\
1--2 & b & 93.9 & [90.9, 95.9] \\
\bottomrule
\end{tabular}

\smallskip
\begin{minipage}{\linewidth}
\footnotesize
Ranked by top1 (higher is better), on 360 test images.\par
Ranks are ranges; rows differ where their 95 \% intervals do not overlap.\par
With one seed each, ranks compare sets of weights, not models.\par
Recipe: recipes/supervised.\par
\end{minipage}
\end{table}

\begin{table}
\centering
\caption{Without a result.}
\label{tab:vitbench-missing}
\small
\begin{tabular}{llp{.2\linewidth}p{.4\linewidth}}
\toprule
model & status & cells & reason \\
\midrule
c & failed & digits, seed 0 & 50 \% left \\
\bottomrule
\end{tabular}
\end{table}

On digits, vit\_p2 is best with 94.4 \% top1, 0.6 points ahead of b; the gap is not resolved. """
        "With one seed each, ranks compare sets of weights, not models.\n"
    )


def test_what_tex_gives_a_meaning_is_text():
    assert [text for text in HOSTILE if read(escaped(text)) != plain(text)] == []


@given(st.one_of(st.text(), st.text("\\{}$&#%_^~<>|'`\"-, [](a1"), st.text("\xe4\xe9\u1ebf\u01d7\xdf\u0131a\u0301 ")))
def test_any_text_is_read_back(text):
    assert escaped(text).isascii()
    assert "--" not in escaped(text)
    assert read(escaped(text)) == expected(text)


@pytest.mark.parametrize("name", ["{", "$x$", "a & b", "\\end{table}", "%", "  two  \x1b"])
def test_no_name_leaves_its_place(name):
    text = render(build([f.quality(name, 340, data=f.data_info(title=name))], [], "top1"), "latex")
    [(_, model, value, _)] = table_of(text)
    assert (read(model), value) == (expected(name), "94.4")
    nodes, *_ = LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
    found = [node.environmentname for node in nodes if node.isNodeType(LatexEnvironmentNode)]
    assert found == ["table"]
    assert "\x1b" not in text


def test_several_tables_have_labels_of_their_own_and_nothing_says_so():
    text = render(build([f.quality("a"), f.quality("a", precision="bfloat16")], [], "top1"), "latex")
    assert text.count(r"\label{tab:vitbench-1}") == text.count(r"\label{tab:vitbench-2}") == 1
    assert "No results yet." in render(build([], [], "top1"), "latex")


@pytest.mark.parametrize("name", ["[x]", "*", "[2pt]", "{}[", " *a"])
def test_no_line_of_a_table_begins_with_what_would_be_an_argument(name):
    """Of the end of the line before, or of the rule: ``\\\\[2pt]``, ``\\midrule[2pt]``."""
    failed = [f.record(f.quality_cell(each), status="failed", reason="x") for each in ("first", name)]
    text = render(build([f.quality("a"), *failed], [], "top1"), "latex")
    assert not [line for line in text.split("\n") if re.match(r"\s*[\[*]", line)]
    [*_, line] = table_of(text.partition("Without a result.")[2])
    assert read(line[0]) == expected(name)
