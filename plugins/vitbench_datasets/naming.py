"""Which names of folders and files stand for a split or a class, and which belong to systems and tools."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from vitbench.specs import SplitName

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
SPLIT_WORDS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""The names of splits in any case, as dataset hubs know them; where several are there, the first is taken."""
OUTER_FOLDERS = frozenset({"image", "images", "img", "imgs", "data"})
"""Names of a folder that holds images or class folders, and is neither a split nor a class."""
_SYSTEM = frozenset(
    {
        *("__macosx", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin"),
        *("system volume information", "lost+found", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    }
)
_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


def split_of(name: str) -> SplitName | None:
    """Return the split that a name stands for; a name that only contains such a word stands for none."""
    return next((split for split, words in SPLIT_WORDS.items() if name.casefold() in words), None)


def resembles_split(name: str) -> bool:
    """Whether one of a name's words is that of a split: ``training_set``, ``seg_test``, ``val2017``."""
    return any(split_of(word) for word in re.split(r"[\W\d_]+", name))


def split_rank(name: str) -> tuple[int, bool, str]:
    """Return where a name stands among those of its split: a usual word before a rare one, ``val`` before ``Val``."""
    word = name.casefold()
    words = next(words for words in SPLIT_WORDS.values() if word in words)
    return words.index(word), name != word, name


def is_hidden(name: str) -> bool:
    """Whether a file or a folder is hidden, or made by a system or a tool beside one's own."""
    return name.startswith(".") or name.casefold() in _SYSTEM


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8: Python reads other bytes as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def class_name(folder: str) -> str:
    """Return the class that a folder's name stands for: composed (NFC), and read as Latin-1 where it is not UTF-8."""
    if not is_text(folder):
        folder = folder.encode("utf-8", "surrogateescape").decode("latin-1")
    return unicodedata.normalize("NFC", folder)


def in_class_order(names: Iterable[str]) -> list[str]:
    """Sort class names: whole numbers by their values, if all are; else as text, as torchvision's ImageFolder does."""
    names = sorted(names)
    return sorted(names, key=int) if are_whole_numbers(names) else names


def are_whole_numbers(names: Sequence[str]) -> bool:
    """Whether all names are whole numbers."""
    return all(_WHOLE_NUMBER.fullmatch(name) for name in names)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names with commas, and the count of those beyond `most`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
