"""Two commits of a plugin's repository, each in an environment of its own: from the command line to the exit code.

Its models sleep, so that the machine's noise hardly matters. The environments see this one's packages, torch and
vitbench among them, and nothing is downloaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import factories
import psutil
import pytest
from waiting import PATIENCE, wait_for

from vitbench.cli import main
from vitbench.errors import UnusableError
from vitbench.execution.processes import run_program
from vitbench.lockstep import compare as lockstep
from vitbench.lockstep.process import LockstepError
from vitbench.tracking import environments
from vitbench.tracking import track as tracking
from vitbench.tracking.checkouts import find_repository
from vitbench.tracking.environments import Installation, PreparedSide, prepared_place
from vitbench.tracking.matching import Match
from vitbench.tracking.outcome import Tracked, TrackedModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the shell lines are those of Unix"),
]

INSTALL = "pip install --quiet --no-deps --no-build-isolation --no-index -e ."
MADE_HERE = ["--inherit-packages", "--install", INSTALL]
FILES = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "vitbench-napping"
version = "1.0"
dependencies = ["vitbench"]

[project.entry-points.vitbench]
napping = "napping"

[tool.hatch.build.targets.wheel]
packages = ["src/napping"]
""",
    "src/napping/__init__.py": """
import vitbench
from napping.seconds import SECONDS


@vitbench.hookimpl
def vitbench_models():
    for name in SECONDS:
        yield vitbench.ModelSpec(name=name, build="napping.models:build", summary="Sleeps", arguments={"name": name})
""",
    "src/napping/models.py": """
import time

from torch import nn

from napping.seconds import SECONDS


class Sleeper(nn.Module):
    def __init__(self, seconds, in_channels, num_classes):
        super().__init__()
        self.seconds = seconds
        self.head = nn.Linear(in_channels, num_classes)

    def forward(self, images):
        time.sleep(self.seconds)
        return self.head(images.mean(dim=(2, 3)))


def build(*, name, num_classes, image_size, in_channels):
    return Sleeper(SECONDS[name], in_channels, num_classes)
""",
}
SEES = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "seeing"
version = "1.0"
"""
SEEING = """
import importlib.util; print("numpy in the build:", importlib.util.find_spec("numpy"), flush=True)


def build_wheel(*_):
    raise SystemExit("seen enough")
"""
SECONDS = {
    "base": {"steady": 0.02, "slowing": 0.02, "leaving": 0.02},
    "head": {"steady": 0.02, "slowing": 0.03, "coming": 0.02},
}
QUESTION = tracking.Question(
    models=(),
    modes=("inference",),
    batch_size=1,
    image_size=8,
    num_classes=2,
    device="cpu",
    threads=1,
    base="base",
    head="head",
    repo=Path(),
    threshold=0.03,
    seconds=1.0,
    allow_differences=False,
    recipe=Installation(install=INSTALL, inherit_packages=True),
)
Track = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with the commits ``base`` and ``head``, of which the second is checked out."""
    folder = tmp_path_factory.mktemp("napping")
    git(folder, "init", "--quiet")
    for tag, seconds in SECONDS.items():
        for name, text in {**FILES, "src/napping/seconds.py": f"SECONDS = {seconds!r}\n"}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "-m", tag)
        git(folder, "tag", tag)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the environments, which the tests share as the runs of one user do."""
    return tmp_path_factory.mktemp("track")


@pytest.fixture(scope="module")
def made(repository: Path, cache: Path) -> dict[str, Path]:
    """Return the folder of each commit's environment, made here or by a test before."""
    found = find_repository(repository)
    recipe = Installation(install=INSTALL, inherit_packages=True)
    homes = {}
    for ref in SECONDS:
        commit = found.commit("--base", ref)
        place = prepared_place("base", ref, commit, repository=found, recipe=recipe, cache=cache, say=print)
        homes[ref] = place.folder.parent
    return homes


@pytest.fixture
def track(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Track]:
    """Run ``vitbench track`` in the repository; no process, no worktree and no change of its files may stay."""
    for name, value in {
        "BLOCK_SECONDS": 0.02,
        "QUADS": 3,
        "SHARP": 1.0,
        "MOST_PAIRS": 3,
        "FEWEST_DISTURBED": 3,
    }.items():
        monkeypatch.setattr(lockstep, name, value)  # as little as can be, on a disturbed machine too
    monkeypatch.setenv("VITBENCH_TRACK", str(cache))
    monkeypatch.chdir(repository)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitbench", "track", "--threads", "1", "--device", "cpu", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    before, processes = state(repository), set(psutil.Process().children(recursive=True))
    yield call
    assert state(repository) == before
    assert set(psutil.Process().children(recursive=True)) <= processes


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def state(repository: Path) -> tuple[str, ...]:
    asked = (["worktree", "list"], ["status", "--porcelain", "--ignored"], ["for-each-ref"])
    return tuple(git(repository, *arguments) for arguments in asked)


def read(out: str) -> dict[str, TrackedModel]:
    import msgspec

    return {result.model: result for result in msgspec.json.decode(out, type=Tracked).results}


def test_a_slower_model_is_a_regression_and_what_one_side_lacks_is_no_data(track: Track, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n")
    models = [word for name in ("slowing", "leaving", "coming") for word in ("--model", name)]
    code, out, err = track("--base", "base", "--head", "head", *models, "--json", "--output", str(summary), *MADE_HERE)
    assert code == 10, err
    results = read(out)
    found = results.pop("napping/slowing")
    assert found.verdict == "regressed"
    assert found.ratio == pytest.approx(2 / 3, rel=0.1)
    assert found.pairs >= 3
    assert summary.read_text().startswith("# Before\n### vitbench track\n\n**Slower by more than 3.0%: napping/slowing")
    for name, reason in (("leaving", 'head: unknown model "leaving".'), ("coming", 'base: unknown model "coming".')):
        lacking = results.pop(f"napping/{name}")
        assert lacking.verdict == "no data"
        assert lacking.reasons[0].startswith(reason)
    assert results == {}
    titles = {ref: f"{ref} ({git(Path(), 'rev-parse', ref)[:10]})" for ref in SECONDS}
    assert err.splitlines()[:4] == [
        f"Making the environment of head, {titles['head']}.",
        "Asking head what it can measure.",
        f"Making the environment of base, {titles['base']}.",
        "Asking base what it can measure.",
    ]


def test_what_one_side_cannot_build_is_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def compare_speeds(*_: object, **__: object) -> None:
        raise LockstepError("head: TypeError: no number")

    monkeypatch.setattr(tracking, "compare_speeds", compare_speeds)
    places = [PreparedSide(label=label, title=label, folder=tmp_path, python=sys.executable) for label in SECONDS]
    planned = factories.speed_cell("breaking")
    match = Match(model="napping/breaking", cells=(planned, planned), remarks=())
    found = tracking._measured(match, places, QUESTION, print, family=1)
    assert (found.verdict, found.ratio, found.reasons) == ("no data", None, ("head: TypeError: no number",))


def test_an_installed_copy_in_place_of_the_working_tree_is_not_comparable(
    track: Track, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    info = copy / "vitbench_napping-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vitbench-napping\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vitbench]\nnapping = napping\n")
    (copy / "napping").mkdir()
    for file in (repository / "src" / "napping").glob("*.py"):
        (copy / "napping" / file.name).write_text(file.read_text())
    monkeypatch.setenv("PYTHONPATH", str(copy))
    code, out, err = track("--base", "base", "--model", "steady", *MADE_HERE)
    assert code == 12, err
    assert "head would measure installed code that is not its checkout's" in " ".join(out.split())
    assert "head: the working tree (" in out
    assert "Making" not in err, "the environment is kept"


def test_an_install_that_fails_is_one_line_and_leaves_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(command: str | list[str], **settings: Any) -> Any:
        quick = [*command, "--without-pip"] if isinstance(command, list) else command
        return run_program(quick, **settings)

    monkeypatch.setattr(environments, "run_program", run)
    before, said, found = state(repository), list[str](), find_repository(repository)
    commit = found.commit("--base", "base")
    title = f"base ({commit[:10]})"
    recipe = Installation(install="echo so it goes; exit 7", inherit_packages=False)
    with pytest.raises(UnusableError) as caught:
        prepared_place("base", "base", commit, repository=found, recipe=recipe, cache=tmp_path, say=said.append)
    assert str(caught.value) == f'base, {title}: "echo so it goes; exit 7" failed with exit code 7.'
    assert said == [f"Making the environment of base, {title}."]
    assert capfd.readouterr() == ("", "so it goes\n")
    assert list(tmp_path.iterdir()) == []
    assert state(repository) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--base", "nothing"], 2, '--base: {repository} has no commit "nothing"'),
        (["--base", "base", "--threshold", "nan"], 2, "'nan' is not a finite number"),
        (["--base", "base", "--output", "/no/such/folder/x.md"], 4, "/no/such/folder/x.md cannot be written: No such"),
        (["--base", "base", "--repo", "/"], 2, "/ is not in the working tree of a git repository"),
    ],
)
def test_a_mistake_is_one_line(track: Track, repository: Path, arguments: list[str], code: int, words: str) -> None:
    found, out, err = track(*arguments)
    assert (found, out) == (code, "")
    last = err.splitlines()[-1]
    assert last.startswith("Error: ")
    assert words.format(repository=repository) in last


def test_an_interruption_ends_what_runs_and_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    cache, before = tmp_path / "cache", state(repository)
    command = [sys.executable, "-m", "vitbench", "track", "--base", "base", "--install", "true"]
    environment = {**os.environ, "VITBENCH_TRACK": str(cache)}
    with subprocess.Popen(command, cwd=repository, env=environment, stderr=subprocess.PIPE, text=True) as process:
        # Making an environment takes seconds, of which this is the first.
        assert wait_for(lambda: list(cache.glob("*/environment/*")))
        assert state(repository) != before, "the worktree is there"
        running = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("Interrupted")
    assert running
    assert psutil.wait_procs(running, timeout=PATIENCE)[1] == []
    assert state(repository) == before
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_an_environment_has_the_files_of_its_commit_and_is_no_worktree(made: dict[str, Path]) -> None:
    for ref, home in made.items():
        assert repr(SECONDS[ref]) in (home / "checkout" / "src" / "napping" / "seconds.py").read_text()
        assert not (home / "checkout" / ".git").exists()


def test_an_isolated_build_does_not_see_the_present_packages(made: dict[str, Path], tmp_path: Path) -> None:
    """An old build tool of theirs would take the place of the one that the checkout asks for."""
    (tmp_path / "pyproject.toml").write_text(SEES)
    (tmp_path / "backend.py").write_text(SEEING)
    python = made["base"] / "environment" / "bin" / "python"
    command = [python, "-m", "pip", "wheel", "--no-deps", "--no-index", "--verbose", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "numpy in the build: None" in done.stdout + done.stderr
    seen = subprocess.run([python, "-c", SEEING.splitlines()[1]], capture_output=True, text=True, check=True)
    assert "ModuleSpec" in seen.stdout, "outside of a build it sees them"
