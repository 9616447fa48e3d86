"""Commits become folders, and the user's repository stays as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vitbench.errors import UnusableError, UsageError
from vitbench.tracking.checkouts import Repository, find_repository, outside_of_git, worktree

pytestmark = pytest.mark.process


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with two commits, ``first`` and ``main``."""
    folder = tmp_path_factory.mktemp("template")
    git(folder, "init", "--quiet")
    for number, tag in enumerate(("first", "second")):
        (folder / "file").write_text(f"{number}\n")
        git(folder, "add", "file")
        git(folder, "commit", "--quiet", "-m", tag)
        git(folder, "tag", tag)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    git(template, "clone", "--quiet", "--no-local", str(template), str(tmp_path / "repo"))
    return tmp_path / "repo"


@pytest.fixture
def repository(folder: Path) -> Repository:
    return find_repository(folder)


def test_it_is_found_from_a_folder_in_it_and_from_its_worktrees(folder: Path, tmp_path: Path) -> None:
    # It is found from a folder in it.
    (folder / "deep").mkdir()
    assert find_repository(folder / "deep") == find_repository(folder)
    assert find_repository(folder) == Repository(folder=folder, store=folder / ".git")

    # A worktree of it shares its store.
    git(folder, "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
    assert find_repository(tmp_path / "other") == Repository(folder=tmp_path / "other", store=folder / ".git")


def test_no_repository_no_folder_and_no_git_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No repository and no folder are usage errors.
    with pytest.raises(UsageError, match=r"is not in the working tree of a git repository \(fatal: not a git rep"):
        find_repository(tmp_path)
    with pytest.raises(UsageError, match=r"--repo: .*none is not a directory"):
        find_repository(tmp_path / "none")

    # Without git it says so.
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnusableError, match="needs git, which is not installed"):
        find_repository(tmp_path)


@pytest.mark.parametrize("ref", ["first", "HEAD~1"])
def test_any_name_of_a_commit_is_one(repository: Repository, ref: str) -> None:
    assert repository.commit("--base", ref) == git(repository.folder, "rev-parse", "first")


@pytest.mark.parametrize("ref", ["no-such", "", "--all", "HEAD:file", "a\nb"])
def test_what_names_no_commit_is_a_usage_error(repository: Repository, ref: str) -> None:
    with pytest.raises(UsageError, match=r"^--base: .* has no commit"):
        repository.commit("--base", ref)


def test_what_an_unborn_branch_or_a_shallow_clone_lacks_is_told(tmp_path: Path, template: Path) -> None:
    # An unborn branch has no commit.
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UsageError, match='has no commit "HEAD"'):
        find_repository(tmp_path).commit("--base", "HEAD")

    # A shallow clone is told of.
    git(tmp_path, "clone", "--quiet", "--no-local", "--depth=1", f"file://{template}", "shallow")
    with pytest.raises(UsageError, match=r"the clone is shallow, fetch more of it \(fetch-depth: 0\)"):
        find_repository(tmp_path / "shallow").commit("--base", "HEAD~1")


def test_the_state_tells_of_changes_without_touching_the_index(repository: Repository) -> None:
    short = git(repository.folder, "rev-parse", "HEAD")[:10]
    # The same content with another time: `status` would note that in the index.
    os.utime(repository.folder / "file", (1, 1))
    index = (repository.store / "index").read_bytes()
    assert repository.state() == short
    assert (repository.store / "index").read_bytes() == index
    (repository.folder / "file").write_text("changed\n")
    assert repository.state() == f"{short} with changes"

    # A new file is a change unless git ignores it.
    (repository.folder / "file").write_text("1\n")
    (repository.store / "info").mkdir(exist_ok=True)
    (repository.store / "info" / "exclude").write_text("built\n")
    (repository.folder / "built").touch()
    assert repository.state() == short
    (repository.folder / "new").touch()
    assert repository.state() == f"{short} with changes"


def test_a_repository_of_another_user_is_told_with_gits_own_remedy(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UsageError, match=r"belongs to another user; run: git config --global --add safe\.directory /"):
        find_repository(repository.folder)


def snapshot(repository: Repository) -> tuple[str, str, bytes, list[str]]:
    """Return all that a worktree could touch: worktrees, branches, index and files."""
    return (
        git(repository.folder, "worktree", "list"),
        git(repository.folder, "for-each-ref"),
        (repository.store / "index").read_bytes(),
        sorted(str(path) for path in repository.folder.rglob("*") if ".git" not in path.parts),
    )


def test_a_worktree_is_one_inside_and_a_plain_folder_after_whatever_happens(
    repository: Repository, tmp_path: Path
) -> None:
    # A worktree is one inside and a plain folder after.
    before = snapshot(repository)
    place = tmp_path / "place"
    with worktree(repository, repository.commit("--base", "first"), place):
        assert (place / "file").read_text() == "0\n"
        assert git(place, "describe", "--tags") == "first"
        (place / "built").touch()
    assert sorted(path.name for path in place.iterdir()) == ["built", "file"]
    assert snapshot(repository) == before

    # An interruption inside leaves no worktree.
    before = snapshot(repository)
    with pytest.raises(KeyboardInterrupt), worktree(repository, "HEAD", tmp_path / "second"):
        raise KeyboardInterrupt
    assert snapshot(repository) == before

    # A worktree that a crash left behind is no hindrance.
    place = tmp_path / "third"
    before = snapshot(repository)
    git(repository.folder, "worktree", "add", "--quiet", "--detach", str(place))
    for path in sorted(place.rglob("*"), reverse=True):
        path.unlink()
    place.rmdir()
    with worktree(repository, "HEAD", place):
        assert (place / "file").exists()
    assert snapshot(repository) == before

    # A commit that cannot be checked out is one line.
    before = snapshot(repository)
    with (
        pytest.raises(UnusableError, match=r"^git cannot check out 0000000000: fatal: "),
        worktree(repository, "0" * 40, tmp_path / "fourth"),
    ):
        pass
    assert snapshot(repository) == before


def test_the_users_hooks_do_not_run_and_a_hooks_variables_do_not_lead_astray(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = repository.store / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    before = snapshot(repository)
    monkeypatch.setenv("GIT_DIR", str(repository.store))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository.store / "index"))
    commit = find_repository(repository.folder).commit("--base", "first")
    with worktree(repository, commit, tmp_path / "place"):
        assert (tmp_path / "place" / "file").read_text() == "0\n"
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert snapshot(repository) == before
    assert not (tmp_path / "ran").exists()


def test_settings_that_are_not_a_hooks_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_INDEX_FILE", "x")
    monkeypatch.setenv("GIT_SSH_COMMAND", "y")
    found = outside_of_git()
    assert "GIT_INDEX_FILE" not in found
    assert found["GIT_SSH_COMMAND"] == "y"
