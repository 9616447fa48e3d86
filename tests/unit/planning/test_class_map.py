"""Class maps as people write them, and what is refused of them in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitbench.errors import UnusableError
from vitbench.planning.class_map import read_class_map


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "map.csv",
            '\ufefffolder,class\nfish,tench\n\nfish, 1\ndog,"a, b"\n',
            {"fish": ("tench", "1"), "dog": ("a, b",)},
        ),
        ("map.csv", "fish,tench\n", {"fish": ("tench",)}),
        ("map.JSON", '{"fish": ["tench", 1], "10": 2, "dog": "3"}', {"fish": ("tench", 1), "10": (2,), "dog": ("3",)}),
        ("map.toml", 'fish = ["tench", 1]\ndog = 2\n', {"fish": ("tench", 1), "dog": (2,)}),
        ("map.json", '{"cafe\u0301": "the\u0301"}', {"caf\u00e9": ("th\u00e9",)}),
    ],
)
def test_a_map_is_read(tmp_path: Path, name: str, text: str, expected: dict[str, object]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_map(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("map.txt", b"a,b", "must be a .csv, .json or .toml file"),
        ("gone.csv", None, "cannot be read: No such file"),
        ("map.csv", b"", "is empty"),
        ("map.csv", b"folder,class\n", "is empty"),
        ("map.csv", b"a;b\n", "line 1 must be 'folder,class', not 'a;b'"),
        ("map.csv", b"a,b\na,\n", "line 2 must be 'folder,class', not 'a,'"),
        ("map.csv", b'a,"b\n', "unexpected end of data"),
        ("map.csv", b"\xff\xfe", "codec can't decode"),
        ("map.json", b'{"a": 0, "a": 1}', "it gives 'a' twice"),
        ("map.json", b'["a"]', "it must be an object of names"),
        ("map.json", b'{"a": []}', "'a' has no class"),
        ("map.json", b'{"a": true}', "'a' must have a name, the number of an output, or a list of these, not True"),
        ("map.json", b'{"a": {"b": 1}}', "'a' must have a name"),
        ("map.json", b"[" * 100_000, "nested too deep"),
        ("map.toml", b"a = 1\na = 2\n", "cannot be used: Cannot overwrite a value"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableError, match=words):
        read_class_map(tmp_path / name)
