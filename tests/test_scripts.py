"""The behaviour of scripts/install, seen with an interpreter that only pretends."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Stands for python3, and for .venv/bin/python: writes down what it is asked to do.
PRETENDER = """#!/usr/bin/env bash
case "$*" in
  *version_info*) exit "${TOO_OLD:-0}" ;;
  *_base_executable*) echo "$FAKE" ;;
  -VV) echo "Python ${FAKE_VERSION:-3.12.0}" ;;
  "-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$FAKE" .venv/bin/python ;;
esac
case "$*" in -m*) echo "$*" >>"$LOG" ;; esac
case "$*" in *"${FAIL_AT:-nothing}"*) exit 1 ;; esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "a clone"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "requirements.txt").write_text("a==1\n")
    (root / "pyproject.toml").write_text("[project]\n")
    return root


@pytest.fixture
def install(clone: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Runs scripts/install from elsewhere; returns what the pretender was asked to do."""
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(PRETENDER)
    fake.chmod(0o755)
    log = tmp_path / "log"

    def run(*, code: int = 0, **extra: str) -> list[str]:
        log.write_text("")
        done = subprocess.run(
            [clone / "scripts" / "install"],
            cwd=tmp_path,
            env=os.environ | {"PYTHON": str(fake), "FAKE": str(fake), "LOG": str(log)} | extra,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return log.read_text().splitlines()

    return run


def test_install_makes_the_environment_from_wheels_with_checked_hashes(
    install: Callable[..., list[str]],
) -> None:
    venv, packages, project = install()
    assert venv == "-m venv --clear .venv"
    assert "--require-hashes --only-binary :all: -r requirements.txt" in packages
    assert "--no-deps --no-build-isolation -e ." in project


def test_install_does_nothing_when_nothing_has_changed(install: Callable[..., list[str]]) -> None:
    install()
    assert install() == []


@pytest.mark.parametrize("step", ["-m venv", "--require-hashes"])
def test_an_install_that_failed_half_way_starts_again_from_nothing(
    install: Callable[..., list[str]], step: str
) -> None:
    install(FAIL_AT=step, code=1)
    assert len(install()) == 3
    assert install() == []


def test_a_failed_install_is_not_taken_for_the_good_one_before_it(
    install: Callable[..., list[str]], clone: Path
) -> None:
    install()
    (clone / "requirements.txt").write_text("a==2\n")
    install(FAIL_AT="--require-hashes", code=1)
    (clone / "requirements.txt").write_text("a==1\n")
    assert len(install()) == 3


def test_a_project_that_could_not_be_installed_is_tried_again_alone(
    install: Callable[..., list[str]],
) -> None:
    install(FAIL_AT="--no-deps", code=1)
    (project,) = install()
    assert project.endswith("-e .")


def test_another_lock_or_another_python_remakes_the_environment(
    install: Callable[..., list[str]], clone: Path
) -> None:
    install()
    (clone / "requirements.txt").write_text("a==2\n")
    assert len(install()) == 3
    assert len(install(FAKE_VERSION="3.13.0")) == 3


def test_changed_metadata_reinstalls_the_project_only(
    install: Callable[..., list[str]], clone: Path
) -> None:
    install()
    (clone / "pyproject.toml").write_text("[project]\nversion = '2'\n")
    (project,) = install()
    assert project.endswith("-e .")


def test_a_clone_that_was_moved_gets_a_new_environment(
    install: Callable[..., list[str]], clone: Path
) -> None:
    install()
    elsewhere = clone.with_name("elsewhere")
    clone.rename(elsewhere)
    clone.symlink_to(elsewhere)  # where the fixture looks; the scripts see the real folder
    assert len(install()) in (0, 3)
