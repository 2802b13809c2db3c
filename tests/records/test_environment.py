from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from gatewaylab.records import environment


def test_the_record_names_machine_versions_and_lock(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("django==1\n")
    found = environment.record(tmp_path)
    assert found.lock == hashlib.sha256(b"django==1\n").hexdigest()
    assert found.cores >= 1
    assert found.memory_gib > 0
    assert "gunicorn" in found.packages
    assert found.commit is None


def test_the_commit_says_when_files_differ_from_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, timeout=120)

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "a")
    clean = environment.record(tmp_path).commit
    (tmp_path / "a").write_text("2")
    assert environment.record(tmp_path).commit == f"{clean}+dirty"


def test_the_kind_of_machine_tells_processor_cores_and_python() -> None:
    kind = environment.machine_kind()
    assert environment.cpu_name() in kind
    assert f"× {len(environment.available_cores())}" in kind
    assert "Python 3." in kind
