"""The leaderboard within another document, such as a README: what stands between two markers is rewritten.

The markers are HTML comments, which Markdown does not show. No name can close the block: `render_markdown` escapes
``<``.
"""

from __future__ import annotations

from vitbench.errors import UsageError

__all__ = ["END", "START", "with_block"]

START = "<!-- vitbench:leaderboard:start -->"
END = "<!-- vitbench:leaderboard:end -->"


def with_block(document: bytes, markdown: str) -> bytes:
    """Return a document with a table between its markers, in the document's line endings; the rest byte for byte.

    Raises:
        UsageError: a marker is missing or doubled, or the end stands before the start.
    """
    start, end = START.encode(), END.encode()
    for marker in (start, end):
        count = document.count(marker)
        if count != 1:
            found = f"there {count} times" if count else "missing"
            raise UsageError(
                f"the line {marker.decode()} is {found}; put it once, and {START if marker == end else END} "
                f"{'before' if marker == end else 'after'} it, where the table should be."
            )
    head, _, rest = document.partition(start)
    tail = rest.partition(end)[2]
    if end in head:
        raise UsageError(f"the line {END} comes before {START}; swap the two.")
    newline = b"\r\n" if rest.partition(b"\n")[0].endswith(b"\r") else b"\n"
    block = markdown.strip("\n").encode().replace(b"\n", newline)
    return newline.join((head + start, b"", block, b"", end + tail))
