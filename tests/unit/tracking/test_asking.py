"""What a side answers, or why it cannot be asked: no vitbench, an older one, a newer one, one that fails or hangs."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from vitbench.errors import UnusableError, UsageError
from vitbench.tracking import asking
from vitbench.tracking.asking import ask
from vitbench.tracking.environments import PreparedSide
from vitbench.tracking.messages import PROTOCOL, Description, Refusal, Request

pytestmark = pytest.mark.process

REQUEST = Request(
    models=("vit",),
    modes=("inference",),
    batch_size=1,
    image_size=8,
    num_classes=2,
    device="cpu",
    threads=1,
    folder="/",
    tree="/",
)


def place(folder: Path, script: str) -> PreparedSide:
    """Return a side whose interpreter is a shell script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return PreparedSide(label="base", title="old", folder=folder, python=str(python), environment={"SIDE": "set"})


def test_the_answer_is_a_description_and_the_request_comes_to_it(tmp_path: Path) -> None:
    (tmp_path / "answer").write_bytes(msgspec.json.encode(Description(python="3.12.1")))
    side = place(tmp_path, 'cat > asked; echo "$@ $SIDE $PWD" > called; cat answer')
    assert ask(side, REQUEST) == Description(python="3.12.1")
    assert msgspec.json.decode((tmp_path / "asked").read_bytes(), type=Request) == REQUEST
    assert (tmp_path / "called").read_text() == f"-m vitbench.tracking.describe set {tmp_path}\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f'exec {sys.executable} -I -S "$@"', "base's environment has no vitbench: the package should depend on it"),
        (
            f"exec {sys.executable} -m vitbench.tracking.not_there",
            "base's vitbench is too old to be tracked",
        ),
        ("echo trace >&2; echo ValueError: broken >&2; exit 1", "base's vitbench cannot be asked: ValueError: broken"),
        ("exit 1", "base's vitbench cannot be asked: it said nothing"),
        (
            f'echo \'{{"protocol": {PROTOCOL + 1}, "new": 1}}\'',
            f"base's vitbench speaks protocol {PROTOCOL + 1}, this one {PROTOCOL}; update the older one",
        ),
        (
            f'echo \'{{"protocol": {PROTOCOL}, "new": 1}}\'',
            "base's vitbench gave an unknown answer: Object contains unknown field `new`",
        ),
        ("echo hello", "base's vitbench gave an unknown answer: JSON is malformed"),
        ("true", "base's vitbench gave an unknown answer: Input data was truncated"),
    ],
)
def test_why_a_side_cannot_be_asked(tmp_path: Path, script: str, words: str) -> None:
    found = ask(place(tmp_path, script), REQUEST)
    assert isinstance(found, str)
    assert found.startswith(words)


def test_a_side_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.2)
    found = ask(place(tmp_path, "sleep 600"), REQUEST)
    assert found == "base's vitbench did not say within 0.2 s what it would measure"


def test_an_interpreter_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = PreparedSide(label="base", title="old", folder=tmp_path, python=str(tmp_path / "gone"))
    with pytest.raises(UnusableError, match=r"^base: cannot start .*gone: No such file or directory"):
        ask(gone, REQUEST)


@pytest.mark.parametrize(("code", "error"), [(2, UsageError), (3, UnusableError)])
def test_a_side_that_refuses_everything_is_an_error(tmp_path: Path, code: int, error: type[Exception]) -> None:
    refusal = Description(refusal=Refusal(message="no such device", exit_code=code))
    (tmp_path / "answer").write_bytes(msgspec.json.encode(refusal))
    with pytest.raises(error, match=r"^base: no such device$"):
        ask(place(tmp_path, "cat answer"), REQUEST)
