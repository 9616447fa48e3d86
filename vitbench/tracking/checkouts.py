"""Commits and their files, by git's own commands: https://git-scm.com/docs/git-worktree.

Nothing here writes to the user's working tree, index or branches, and none of the user's hooks runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vitbench.errors import UnusableError, UsageError
from vitbench.execution.processes import last_words, run_program

__all__ = ["SHORT", "Repository", "find_repository", "outside_of_git", "worktree"]

SHORT = 10
"""Hex digits of a commit in sentences."""
_OF_A_HOOK = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A git repository with a working tree."""

    folder: Path
    """The top of the working tree."""
    store: Path
    """The folder of its objects, which all of its worktrees share."""

    def commit(self, option: str, ref: str) -> str:
        """Return the full hash of the commit that a name means.

        Raises:
            UsageError: it means none; the message names the option.
        """
        code, commit = _git(self.folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if code == 0:
            return commit
        shallow = _git(self.folder, "rev-parse", "--is-shallow-repository")[1] == "true"
        hint = "the clone is shallow, fetch more of it (fetch-depth: 0)" if shallow else "see git log --all"
        raise UsageError(f'{option}: {self.folder} has no commit "{ref}"; {hint}.')

    def state(self) -> str:
        """Return the commit of the working tree in short, and whether files that git does not ignore differ from it."""
        commit = self.commit("--head", "HEAD")[:SHORT]
        # Without its locks, `status` leaves the index as it is.
        code, changes = _git(self.folder, "--no-optional-locks", "status", "--porcelain")
        return f"{commit} with changes" if code == 0 and changes else commit


def find_repository(folder: Path) -> Repository:
    """Return the repository that a folder lies in.

    Raises:
        UsageError: the folder lies in no working tree of git.
        UnusableError: git is not installed.
    """
    if not folder.is_dir():
        raise UsageError(f"--repo: {folder} is not a directory.")
    code, top = _git(folder, "rev-parse", "--show-toplevel")
    if "safe.directory" in top:
        raise UsageError(f"git refuses {folder.absolute()}, which belongs to another user; run: {top}")
    if code != 0:
        raise UsageError(f"{folder.absolute()} is not in the working tree of a git repository ({top}); give --repo.")
    _, store = _git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir")
    return Repository(folder=Path(top), store=Path(store))


def outside_of_git() -> dict[str, str]:
    """Return this process's environment without what git sets for a hook, which would lead others to its index."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}


@contextlib.contextmanager
def worktree(repository: Repository, commit: str, folder: Path) -> Iterator[None]:
    """Check a commit out into a folder that is a git worktree inside the context; a plain folder stays.

    A build may ask git for the version and leave files beside the source, so it needs both.

    Raises:
        UnusableError: git cannot do it.
    """
    _forget(repository, folder)
    try:
        code, words = _git(repository.folder, "worktree", "add", "--detach", "--force", str(folder), commit)
        if code != 0:
            raise UnusableError(f"git cannot check out {commit[:SHORT]}: {words}")
        yield
    finally:
        _forget(repository, folder)


def _forget(repository: Repository, folder: Path) -> None:
    """Have git forget a worktree, and keep its files: git removes the entry alone where the folder is missing."""
    aside = folder.with_name(f"{folder.name}.aside")
    if folder.exists():
        folder.rename(aside)
    _git(repository.folder, "worktree", "remove", "--force", "--force", str(folder))
    if aside.exists():
        (aside / ".git").unlink(missing_ok=True)
        aside.rename(folder)


def _git(folder: Path, *arguments: str) -> tuple[int, str]:
    """Return git's exit code and what it says."""
    program = shutil.which("git")
    if program is None:
        raise UnusableError("vitbench track needs git, which is not installed.")
    variables = {**outside_of_git(), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = run_program([program, "-c", f"core.hooksPath={os.devnull}", *arguments], cwd=folder, environment=variables)
    out = done.stdout.decode(errors="surrogateescape").strip("\n")
    return done.returncode, out if done.returncode == 0 else (last_words(done.stderr) or "it said nothing")
