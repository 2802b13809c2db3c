"""The scripts that speak to a git remote, with a bare repository in its place."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import ROOT

#: Stands for gh: writes down what it is asked, and says which pull requests are open.
GH = """#!/usr/bin/env bash
echo "$*" >>"$LOG"
case "$*" in "pr list"*) echo "${OPEN:-}" ;; esac
"""
#: Stands for git in a race: before the first push another clone adds a build of its own.
RACER = """#!/usr/bin/env bash
case "$*" in *" push "*) if mkdir "$RACE" 2>/dev/null; then
  env -C "$OTHER" PATH="$REAL" scripts/builds "$REMOTE" other.json; fi ;; esac
PATH=$REAL exec git "$@"
"""


class Clone:
    """A clone of a small project that has the real scripts, and nothing of the real project."""

    def __init__(self, folder: Path, remote: Path) -> None:
        self.root, self.remote = folder / "a clone", remote
        self.log, self.bin = folder / "log", folder / "bin"
        self.bin.mkdir(parents=True)
        self.stand_in("gh", GH)
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        (self.root / "requirements.txt").write_text("a==1\n")
        (self.root / ".gitignore").write_text("_build/\n*.json\n")
        for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "x"]):
            self.git("-c", "user.name=a", "-c", "user.email=a@localhost", *command)
        self.git("push", "-q", str(remote), "main")

    def stand_in(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def git(self, *arguments: str) -> str:
        return git(self.root, *arguments)

    def run(self, script: str, *arguments: str, code: int = 0, **extra: str) -> str:
        """What the script says; it must end with this code."""
        path = os.pathsep.join((str(self.bin), os.environ["PATH"]))
        environment = os.environ | {"PATH": path, "LOG": str(self.log)} | extra
        done = subprocess.run(
            [self.root / "scripts" / script, *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def add(self, name: str, text: str, code: int = 0, **extra: str) -> str:
        (self.root / name).write_text(text)
        return self.run("builds", str(self.remote), name, code=code, **extra)

    def copied(self) -> dict[str, str]:
        """What `scripts/builds` copies of the branch, by the file's name."""
        self.run("builds", str(self.remote))
        return {p.name: p.read_text() for p in (self.root / "_build" / "builds").iterdir()}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    return tmp_path / "remote.git"


@pytest.fixture
def clone(tmp_path: Path, remote: Path) -> Clone:
    return Clone(tmp_path / "one", remote)


# The branch of builds.


def test_before_the_first_build_there_is_an_empty_folder_and_no_branch(clone: Clone) -> None:
    assert clone.copied() == {}
    assert "builds" not in git(clone.remote, "branch")


def test_builds_are_added_one_after_another_and_nothing_else_changes(clone: Clone) -> None:
    clone.add("1.json", "one")
    before = clone.git("status", "--porcelain"), clone.git("for-each-ref"), clone.git("log")
    main = git(clone.remote, "rev-parse", "main")
    clone.add("2.json", "two")
    assert clone.copied() == {"1.json": "one", "2.json": "two"}
    assert (
        clone.git("status", "--porcelain"), clone.git("for-each-ref"), clone.git("log"),
    ) == before  # fmt: skip
    assert git(clone.remote, "rev-parse", "main") == main
    changed = git(clone.remote, "log", "--name-status", "--format=", "builds").split()
    assert changed == ["A", "2.json", "A", "1.json"]
    git(clone.remote, "fsck", "--strict")


def test_the_branch_keeps_what_others_have_put_there(clone: Clone) -> None:
    clone.add("1.json", "one")
    branch = clone.root / "by hand"
    git(clone.root, "clone", "-qb", "builds", str(clone.remote), str(branch))
    (branch / "folder").mkdir()
    (branch / "folder" / "kept").write_text("kept")
    git(branch, "add", ".")
    git(branch, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-qm", "by hand")
    git(branch, "push", "-q", "origin", "builds")
    clone.add("2.json", "two")
    assert git(clone.remote, "show", "builds:folder/kept") == "kept"


def test_the_same_build_twice_is_there_once(clone: Clone) -> None:
    clone.add("1.json", "one")
    tip = git(clone.remote, "rev-parse", "builds")
    clone.add("1.json", "one")
    assert git(clone.remote, "rev-parse", "builds") == tip


def test_a_build_that_is_there_is_never_replaced(clone: Clone) -> None:
    clone.add("1.json", "one")
    assert "another 1.json is there" in clone.add("1.json", "other", code=1)
    assert clone.copied() == {"1.json": "one"}


def test_of_two_at_once_neither_is_lost(clone: Clone, tmp_path: Path) -> None:
    clone.add("0.json", "first")
    other = shutil.copytree(clone.root, tmp_path / "other")
    (other / "other.json").write_text("other")
    clone.stand_in("git", RACER)
    said = clone.add(
        "mine.json", "mine", REAL=os.environ["PATH"], RACE=str(tmp_path / "raced"),
        OTHER=str(other), REMOTE=str(clone.remote),
    )  # fmt: skip
    assert "rejected" in said
    (clone.bin / "git").unlink()
    assert clone.copied() == {"0.json": "first", "other.json": "other", "mine.json": "mine"}


def test_a_remote_that_refuses_is_not_asked_for_ever(clone: Clone) -> None:
    clone.stand_in("sleep", '#!/usr/bin/env bash\necho "sleep $*" >>"$LOG"\n')
    hook = clone.remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    clone.add("1.json", "one", code=1)
    assert 1 < len(clone.log.read_text().splitlines()) < 10


@pytest.mark.parametrize("arguments", [(), ("1.json",)])
def test_a_remote_that_cannot_be_reached_is_not_one_without_builds(
    clone: Clone, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (clone.root / "1.json").write_text("one")
    kept = clone.root / "_build" / "builds" / "0.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("zero")
    clone.run("builds", str(tmp_path / "nowhere"), *arguments, code=128)
    assert kept.exists()


def test_builds_that_are_gone_from_the_branch_are_gone_from_the_copy(clone: Clone) -> None:
    clone.add("1.json", "one")
    assert clone.copied()
    git(clone.remote, "update-ref", "-d", "refs/heads/builds")
    assert clone.copied() == {}


# What an upgrade changes, and the pull request with it.

#: Stand for what scripts/upgrade calls: each writes down under which lock it was called.
STAND_INS = {
    "python": 'echo "$FAKE"',
    "lock": 'echo "${NEWEST:-a==2}" >requirements.txt',
    "build": 'lock=$(cat requirements.txt); echo "build $lock $*" >>"$LOG"; echo "C05 refuted"\n'
    '[[ $lock != "${FAILS:-}" ]]',
    "lab": 'case $1 in evidence) cp requirements.txt "$3" ;; diff) cat "$3" "$4" ;; esac',
}
PYTHON = """#!/usr/bin/env bash
case "$*" in "-m venv "*) mkdir -p "$3/bin" && cp "$FAKE" "$3/bin/python" ;; esac
"""


def upgraded(clone: Clone, code: int = 0, **extra: str) -> str:
    """What scripts/upgrade says when nothing that it calls is real."""
    for name, text in STAND_INS.items():
        (clone.root / "scripts" / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
    clone.stand_in("fake-python", PYTHON)
    fake = str(clone.bin / "fake-python")
    return clone.run("upgrade", "--profile", "quick", code=code, FAKE=fake, **extra)


def test_an_upgrade_measures_both_locks_and_leaves_the_old_one(clone: Clone) -> None:
    upgraded(clone)
    asked = clone.log.read_text().splitlines()
    assert asked == ["build a==1 --profile quick", "build a==2 --profile quick"]
    assert (clone.root / "requirements.txt").read_text() == "a==1\n"
    made = clone.root / "_build" / "upgrade"
    assert (made / "requirements.txt").read_text() == "a==2\n"
    assert (made / "text.md").read_text() == "a==1\na==2\n"


def test_a_build_that_an_upgrade_breaks_is_told_and_compared(clone: Clone) -> None:
    upgraded(clone, FAILS="a==2")
    text = (clone.root / "_build" / "upgrade" / "text.md").read_text()
    assert text.startswith("a==1\na==2\n")
    assert "The build with these versions failed:\n\n    C05 refuted" in text


def test_a_book_that_fails_as_it_is_locked_cannot_tell_what_an_upgrade_does(clone: Clone) -> None:
    upgraded(clone, FAILS="a==1", code=1)
    assert not (clone.root / "_build" / "upgrade" / "text.md").exists()
    assert (clone.root / "requirements.txt").read_text() == "a==1\n"


def test_where_there_is_nothing_newer_nothing_is_measured_or_proposed(clone: Clone) -> None:
    assert "nothing newer" in upgraded(clone, NEWEST="a==1")
    said = clone.run("propose", str(clone.remote), "_build/upgrade")
    assert "nothing to propose" in said
    assert not clone.log.exists()
    assert "upgrade" not in git(clone.remote, "branch")


def found(clone: Clone, lock: str) -> str:
    folder = clone.root / "_build" / "upgrade"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(lock)
    (folder / "text.md").write_text("C05 disagrees\n")
    return "_build/upgrade"


def test_an_upgrade_is_a_branch_with_the_new_lock_and_a_pull_request(clone: Clone) -> None:
    folder = found(clone, "a==2\n")
    before = clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain")
    clone.run("propose", str(clone.remote), folder)
    assert git(clone.remote, "diff", "--name-only", "main", "upgrade") == "requirements.txt\n"
    assert git(clone.remote, "show", "upgrade:requirements.txt") == "a==2\n"
    asked = clone.log.read_text().splitlines()
    assert asked[-1].startswith("pr create --head upgrade ")
    assert asked[-1].endswith("--body-file _build/upgrade/text.md")
    assert (clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain")) == before


def test_the_next_upgrade_renews_the_pull_request_that_is_open(clone: Clone) -> None:
    clone.run("propose", str(clone.remote), found(clone, "a==2\n"))
    clone.run("propose", str(clone.remote), found(clone, "a==3\n"), OPEN="7")
    assert git(clone.remote, "show", "upgrade:requirements.txt") == "a==3\n"
    assert git(clone.remote, "rev-parse", "upgrade^") == git(clone.remote, "rev-parse", "main")
    asked = clone.log.read_text().splitlines()
    assert "repos/{owner}/{repo}/pulls/7 -F body=@_build/upgrade/text.md" in asked[-1]
