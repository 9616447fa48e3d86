"""A checkout of a commit with a Python environment of its own, made once and kept in the user's cache.

The environment is a venv (https://docs.python.org/3/library/venv.html) in which one command of the user's installs the
package. It is kept by what it is made of: repository, commit, interpreter and command; so the second run is fast.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vitbench.errors import UnusableError
from vitbench.execution.processes import last_words, run_program
from vitbench.files import lock
from vitbench.records import digest
from vitbench.tracking.checkouts import SHORT, Repository, outside_of_git, worktree

__all__ = ["Installation", "PreparedSide", "cache_folder", "in_place", "prepared_place"]

KEPT = 6
"""Environments that stay in the cache, the last used ones: each may hold a torch of its own."""
DIGITS = 16
"""Of an environment's name, a `digest`."""
_DONE = "complete"
_SAFE = {"PYTHONSAFEPATH": "1"}
"""What is installed is measured, not what lies in the working folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedSide:
    """Where one side is measured."""

    label: str
    """``base`` or ``head``."""
    title: str
    """What it is, for the reader: a commit and how it was named."""
    folder: Path
    """The checkout."""
    python: str
    """The interpreter, in whose environment the package is installed."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables over those of this process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """How environments are made."""

    install: str
    """The command that installs a checkout, run in its folder."""
    inherit_packages: bool
    """Whether they see the packages of the present interpreter, too."""

    def home(self, cache: Path, repository: Repository, commit: str) -> Path:
        """Return the folder of a commit's checkout and environment, which cannot be moved."""
        present = sys.prefix if self.inherit_packages else ""
        made_by = (sys.base_prefix, platform.python_version(), self.install, present)
        return cache / digest((str(cache), str(repository.store), commit, *made_by))


@contextlib.contextmanager
def cache_folder() -> Iterator[Path]:
    """Hold the folder of all environments: ``VITBENCH_TRACK``, else ``track`` in the user's cache.

    For one process at a time: two that measure on one machine at once would disturb each other anyway. What was not
    used for long is deleted on the way out.

    Raises:
        StoreError: another process holds the folder, or it cannot be written.
    """
    import platformdirs

    given = os.environ.get("VITBENCH_TRACK")
    default = Path(platformdirs.user_cache_dir("vitbench", appauthor=False)) / "track"
    folder = Path(given).expanduser().absolute() if given else default
    with lock(folder, command="vitbench track", remedy="choose another folder in VITBENCH_TRACK"):
        try:
            yield folder
        finally:
            _prune(folder)


def in_place(repository: Repository) -> PreparedSide:
    """Return the working tree as it is, with the present interpreter."""
    return PreparedSide(
        label="head",
        title=f"the working tree ({repository.state()})",
        folder=repository.folder,
        python=sys.executable,
        environment=_SAFE,
    )


def prepared_place(
    label: str,
    ref: str,
    commit: str,
    *,
    repository: Repository,
    recipe: Installation,
    cache: Path,
    say: Callable[[str], None],
) -> PreparedSide:
    """Return a commit's checkout and environment, made where the cache does not have them.

    Args:
        label: ``base`` or ``head``.
        ref: what the user calls the commit.
        commit: its full hash.
        repository: whose commit it is.
        recipe: how to make the environment.
        cache: the folder of all environments.
        say: gets a sentence before what takes long.

    Raises:
        UnusableError: the environment cannot be made.
    """
    short = commit[:SHORT]
    title = short if commit.startswith(ref) else f"{ref} ({short})"
    home = recipe.home(cache, repository, commit)
    checkout, venv = home / "checkout", home / "environment"
    place = PreparedSide(
        label=label,
        title=title,
        folder=checkout,
        python=str(_executable(venv)),
        environment={**_activated(venv), **_SAFE},
    )
    if not (home / _DONE).exists():
        say(f"Making the environment of {label}, {title}.")
        with _whole_or_not_at_all(home), worktree(repository, commit, checkout):
            _make(place, venv, recipe)
    (home / _DONE).touch()
    return place


@contextlib.contextmanager
def _whole_or_not_at_all(home: Path) -> Iterator[None]:
    """Give a folder that is new, and that does not stay where making what is in it fails."""
    shutil.rmtree(home, ignore_errors=True)
    try:
        home.mkdir()
        yield
    except BaseException as error:
        shutil.rmtree(home, ignore_errors=True)
        if isinstance(error, OSError):
            raise UnusableError(f"{home} cannot be made: {error.strerror}.") from error
        raise


def _make(place: PreparedSide, venv: Path, recipe: Installation) -> None:
    """Make the environment of a checkout and install it there."""
    made = run_program([sys.executable, "-m", "venv", str(venv)], cwd=place.folder, environment=outside_of_git())
    if made.returncode != 0:
        words = last_words(made.stderr or made.stdout) or "it said nothing"
        raise UnusableError(f"{place.label}: python -m venv failed with exit code {made.returncode}: {words}")
    if recipe.inherit_packages:
        _inherit(venv)
    variables = {**outside_of_git(), **_activated(venv)}
    installed = run_program(recipe.install, cwd=place.folder, environment=variables, aloud=True)
    if installed.returncode != 0:
        code = installed.returncode
        raise UnusableError(f'{place.label}, {place.title}: "{recipe.install}" failed with exit code {code}.')


def _inherit(venv: Path) -> None:
    """Put the present packages, those of its .pth files included, behind the environment's own."""
    scheme = {"base": str(venv), "platbase": str(venv)}
    own = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    present = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    # Not in pip's isolated build, whose tools are those that the checkout asks for.
    unless = "any('pip-build-env-' in place for place in sys.path)"
    lines = [
        f"import site, sys; {unless} or site.addsitedir({folder!r})\n" for folder in present if Path(folder).is_dir()
    ]
    # .pth files are read in the order of their names: this one last, so that the checkout's own comes first.
    (own / "~present.pth").write_text("".join(lines), encoding="utf-8")


def _scripts(venv: Path) -> Path:
    return Path(sysconfig.get_path("scripts", "venv", vars={"base": str(venv), "platbase": str(venv)}))


def _executable(venv: Path) -> Path:
    return _scripts(venv) / ("python.exe" if sys.platform == "win32" else "python")


def _activated(venv: Path) -> dict[str, str]:
    """Return the variables that activating an environment sets, and those that keep other code out of it."""
    return {
        "VIRTUAL_ENV": str(venv),
        "PATH": os.pathsep.join([str(_scripts(venv)), os.environ.get("PATH", os.defpath)]),
        "PYTHONHOME": "",
        "PYTHONPATH": "",
    }


def _prune(cache: Path) -> None:
    """Delete all environments but the last used ones, and what a process that was killed left half made."""
    for home in cache.glob("[0-9a-f]" * DIGITS):
        if not (home / _DONE).exists():
            shutil.rmtree(home, ignore_errors=True)
    complete = sorted(cache.glob(f"*/{_DONE}"), key=lambda mark: mark.stat().st_mtime, reverse=True)
    for mark in complete[KEPT:]:
        shutil.rmtree(mark.parent, ignore_errors=True)
