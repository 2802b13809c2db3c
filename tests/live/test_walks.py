"""The three walks of CONTRIBUTING, walked on a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

SPECS, REGISTRY = "src/gatewaylab/servers/specs.py", "src/gatewaylab/servers/registry.py"
NOTEBOOK, CLAIMS = "notebooks/bare-commands.md", "book/claims/bare-commands.toml"

pytestmark = pytest.mark.live


def steps(heading: str) -> list[str]:
    """What a heading of CONTRIBUTING has one write."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, section = text.partition(f"\n## {heading}\n")
    section, _, _ = section.partition("\n## ")
    return re.findall(r"^```(?:python|toml)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which a server, an application and a claim have been added as it says."""
    copy = tmp_path_factory.mktemp("walk") / "book"
    shutil.copytree(
        ROOT,
        copy,
        ignore=shutil.ignore_patterns(".git", ".venv", "_build", "__pycache__", ".*_cache"),
    )

    def insert(file: str, before: str, text: str) -> None:
        old = (copy / file).read_text(encoding="utf-8")
        assert old.count(before) == 1
        (copy / file).write_text(old.replace(before, text + before), encoding="utf-8")

    (entry,) = steps("Add a server")
    insert(SPECS, ")  # fmt: skip\n\nSERVERS:", entry)
    application, entry = steps("Add a demo application")
    (copy / "demo_apps/greeting.py").write_text(application, encoding="utf-8")
    insert(REGISTRY, '    }\n)\n"""The demo applications by short name."""', entry)
    declaration, cell = steps("Add a claim")
    with (copy / CLAIMS).open("a", encoding="utf-8") as file:
        file.write(f"\n{declaration}")
    insert(NOTEBOOK, "## What this can't show", f"```{{code-cell}} python\n{cell}```\n\n")
    return copy


def run(copy: Path, *words: str) -> str:
    """What a program of the copy prints; it sees the copy's package and not this one."""
    env = {**os.environ, "PYTHONPATH": str(copy / "src")}
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("walk", "lines"),
    [("Add a server", [9]), ("Add a demo application", [15, 1]), ("Add a claim", [12, 18])],
)
def test_a_walk_is_short(walk: str, lines: list[int]) -> None:
    lengths = [sum(bool(line.strip()) for line in step.splitlines()) for step in steps(walk)]
    assert all(length <= most for length, most in zip(lengths, lines, strict=True))


def test_the_new_claim_is_decided_on_the_new_server_with_the_new_application(walked: Path) -> None:
    _, cell = steps("Add a claim")
    code = f"from gatewaylab import ask, claim, observe, server\n{cell}"
    said = run(walked, "-c", code.replace("\nclaim(", "\nstated = claim(") + "\nprint(stated)")
    assert "A99 supported" in said
    assert "sabotage (another application): refuted" in said


def test_no_other_place_had_to_be_told(walked: Path) -> None:
    """What enumerates servers, applications or claims passes, and so do the rules of style."""
    suites = [
        "tests/servers", "tests/claims/test_claims.py", "tests/repository/test_public.py",
        "tests/repository/test_prose.py", "tests/show/test_figures.py",
    ]  # fmt: skip
    run(walked, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites)
    changed = [SPECS, REGISTRY, "demo_apps/greeting.py"]
    run(walked, "-m", "ruff", "check", "--no-cache", *changed)
    run(walked, "-m", "ruff", "format", "--check", "--no-cache", *changed)
