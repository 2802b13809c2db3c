"""The behaviour of the scripts, seen with an interpreter that only pretends."""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gatewaylab.measure.delay import until
from tests import ROOT

#: Stands for python3, and for .venv/bin/python: writes down what it is asked to do.
PRETENDER = r"""#!/usr/bin/env bash
case "$*" in -m*) echo "$*" >>"$LOG" ;; esac
case "$*" in *"${FAIL_AT:-nothing}"*) exit 1 ;; esac
case "$*" in
  *version_info*) exit "${TOO_OLD:-0}" ;;
  *_base_executable*) echo "$FAKE" ;;
  -VV) echo "Python ${FAKE_VERSION:-3.12.0}" ;;
  "-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$FAKE" .venv/bin/python ;;
  *--require-hashes*) sleep "${SLOW:-0}" ;;
  *"-e .") printf '#!/usr/bin/env bash\necho "gatewaylab $*" >>"$LOG"\n' >.venv/bin/gatewaylab
    chmod +x .venv/bin/gatewaylab ;;
esac
"""


#: What a script was asked to do by way of the pretender, line by line.
Log = list[str]


class Clone:
    """A copy of the scripts in a folder of its own, where nothing real is ever installed."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        self.log = folder / "log"
        self.elsewhere = folder
        self.fake = folder / "bin" / "python3"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        (self.root / "scripts" / "system").write_text('#!/bin/sh\necho system >>"$LOG"\n')
        (self.root / "pyproject.toml").write_text("[project]\n")
        self.lock("a==1")
        self.fake.parent.mkdir()
        self.fake.write_text(PRETENDER)
        self.fake.chmod(0o755)

    def lock(self, line: str) -> None:
        (self.root / "requirements.txt").write_text(f"{line}\n")

    def start(self, script: str, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd=self.elsewhere,
            env=os.environ
            | {"PYTHON": str(self.fake), "FAKE": str(self.fake), "LOG": str(self.log)}
            | extra,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def run(self, script: str, *arguments: str, code: int = 0, **extra: str) -> Log:
        self.log.write_text("")
        process = self.start(script, *arguments, **extra)
        _, said = process.communicate(timeout=300)
        assert process.returncode == code, said
        return self.log.read_text().splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_install_makes_the_environment_from_wheels_with_checked_hashes(clone: Clone) -> None:
    venv, packages, project = clone.run("install")
    assert venv == "-m venv --clear .venv"
    assert "--require-hashes --only-binary :all: -r requirements.txt" in packages
    assert "--no-deps --no-build-isolation -e ." in project


def test_install_does_nothing_when_nothing_has_changed(clone: Clone) -> None:
    clone.run("install")
    assert clone.run("install") == []


@pytest.mark.parametrize("step", ["-m venv", "--require-hashes"])
def test_an_install_that_failed_half_way_starts_again_from_nothing(clone: Clone, step: str) -> None:
    clone.run("install", FAIL_AT=step, code=1)
    assert len(clone.run("install")) == 3
    assert clone.run("install") == []


@pytest.mark.parametrize("step", ["-m venv", "--require-hashes"])
def test_a_failed_install_leaves_the_good_one_before_it(clone: Clone, step: str) -> None:
    clone.run("install")
    clone.lock("a==2")
    for _ in range(2):
        clone.run("install", FAIL_AT=step, code=1)
    clone.lock("a==1")
    assert clone.run("install") == []
    clone.lock("a==2")
    assert len(clone.run("install")) == 3
    assert not (clone.root / ".venv.old").exists()


def test_an_install_killed_half_way_keeps_the_good_one_for_the_next(clone: Clone) -> None:
    clone.run("install")
    clone.lock("a==2")
    with clone.start("install", SLOW="60") as process:
        assert until((clone.root / ".venv.old").exists, within=60)
        os.killpg(process.pid, signal.SIGKILL)
    clone.run("install", FAIL_AT="-m venv", code=1)
    clone.lock("a==1")
    assert clone.run("install") == []


#: A module that makes wheels: itself, and the project as `scripts/install` has it installed.
MAKER = """\
import zipfile
from pathlib import Path

VERSION = "{version}"


def build_editable(folder, settings=None, metadata=None, name="project"):
    path = Path(folder) / f"{{name}}-{{VERSION}}-py3-none-any.whl"
    files = {{
        "METADATA": f"Metadata-Version: 2.1\\nName: {{name}}\\nVersion: {{VERSION}}\\n",
        "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "RECORD": "",
    }}
    with zipfile.ZipFile(path, "w") as wheel:
        if name == "maker":
            wheel.write(__file__, "maker.py")
        for file, text in files.items():
            wheel.writestr(f"{{name}}-{{VERSION}}.dist-info/{{file}}", text)
    return path.name
"""


def made(folder: Path, version: str) -> Path:
    """A small wheel of that version."""
    source = folder / version / "maker.py"
    source.parent.mkdir()
    source.write_text(MAKER.format(version=version))
    module = runpy.run_path(str(source))
    return folder / str(module["build_editable"](folder, name="maker"))


@pytest.mark.slow
def test_a_wheel_with_one_other_byte_is_refused_and_the_old_environment_stays(
    clone: Clone, tmp_path: Path
) -> None:
    """By the real pip, from a folder in place of the network."""
    (clone.root / "pyproject.toml").write_text(
        "[project]\nname = 'project'\nversion = '1'\n"
        "[build-system]\nrequires = []\nbuild-backend = 'maker'\n"
    )
    real = {"PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}

    def lock(wheel: Path) -> None:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        clone.lock(f"maker=={wheel.name.split('-')[1]} --hash=sha256:{digest}")

    lock(made(tmp_path, "1"))
    clone.run("install", code=0, **real)
    wheel = made(tmp_path, "2")
    lock(wheel)
    wheel.write_bytes(wheel.read_bytes().replace(b"import zipfile", b"import zipfilE"))
    _, said = clone.start("install", **real).communicate(timeout=300)
    assert "DO NOT MATCH THE HASHES" in said
    code = "import maker; print(maker.VERSION)"
    old = subprocess.run([clone.root / ".venv/bin/python", "-c", code], capture_output=True)
    assert old.stdout == b"1\n"


def test_a_project_that_could_not_be_installed_is_tried_again_alone(clone: Clone) -> None:
    clone.run("install", FAIL_AT="--no-deps", code=1)
    (project,) = clone.run("install")
    assert project.endswith("-e .")


def test_another_lock_or_another_python_remakes_the_environment(clone: Clone) -> None:
    clone.run("install")
    clone.lock("a==2")
    assert len(clone.run("install")) == 3
    assert len(clone.run("install", FAKE_VERSION="3.13.0")) == 3


def test_changed_metadata_reinstalls_the_project_only(clone: Clone) -> None:
    clone.run("install")
    (clone.root / "pyproject.toml").write_text("[project]\nversion = '2'\n")
    (project,) = clone.run("install")
    assert project.endswith("-e .")


def test_a_clone_that_was_moved_gets_a_new_environment(clone: Clone) -> None:
    clone.run("install")
    clone.root = clone.root.rename(clone.root.with_name("moved"))
    assert len(clone.run("install")) == 3


def test_two_installs_at_once_take_turns(clone: Clone) -> None:
    clone.log.write_text("")
    both = [clone.start("install", SLOW="0.3") for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert len(clone.log.read_text().splitlines()) == 3


def test_install_refuses_an_unsuitable_python_and_says_what_would_do(clone: Clone) -> None:
    process = clone.start("install", TOO_OLD="1")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "3.11 to 3.14" in said
    assert str(clone.fake) in said
    assert "--system" in said
    assert not (clone.root / ".venv").exists()


def test_install_refuses_an_option_that_it_does_not_know(clone: Clone) -> None:
    assert clone.run("install", "--sytsem", code=2) == []


def test_build_keeps_system_for_the_installer_and_passes_the_rest_on(clone: Clone) -> None:
    log = clone.run("build", "--profile", "quick", "--system", "--only", "slow requests")
    assert log[0] == "system"
    assert log[-1] == "gatewaylab build --profile quick --only slow requests"


def test_test_keeps_system_for_the_installer_and_passes_the_rest_on(clone: Clone) -> None:
    log = clone.run("test", "-x", "--system")
    assert log[0] == "system"
    assert log[-1] == "-m pytest -x"


def test_bench_keeps_system_for_the_installer_and_passes_the_rest_on(clone: Clone) -> None:
    log = clone.run("bench", "--only", "wrk", "--system")
    assert log[0] == "system"
    assert log[-1] == "-m tests.bench --only wrk"


def test_lab_is_the_instrument(clone: Clone) -> None:
    assert clone.run("lab", "servers", "--json")[-1] == "gatewaylab servers --json"


def test_system_names_what_is_missing_where_there_is_no_apt(tmp_path: Path) -> None:
    for tool in ("bash", "dirname"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    done = subprocess.run(
        [ROOT / "scripts" / "system"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "no apt-get" in done.stderr
    assert "chromium" in done.stderr
