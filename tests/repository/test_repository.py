"""The rules of the repository itself: sizes, scripts, the lock, the workflows."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pytest
import yaml
from bookext.builds import NONE_YET
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gatewaylab.servers.specs import ServerSpec
from tests import ROOT
from tests.support import sizes

SCRIPTS = sorted((ROOT / "scripts").iterdir())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())

#: The jobs that may write, by workflow and name, and what each of them may.
WRITERS = {
    ("publish", "deploy"): {"pages": "write", "id-token": "write"},
    ("publish", "remember"): {"contents": "write"},
    ("upgrade", "propose"): {"contents": "write", "pull-requests": "write"},
}
#: The only script that such a job may call.
CALLED = {"remember": "builds", "propose": "propose"}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def tracked_files() -> list[Path]:
    """What git tracks or would track, without what it ignores."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-zco", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 5_000


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_local_link_leads_to_a_file(name: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", (ROOT / name).read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_the_decisions_are_numbered_without_gaps() -> None:
    files = sorted((ROOT / "book" / "decisions").glob("*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith(f"# {file.name[:4]}: ")
        heads = ["## Context", "## Decision", "## Consequences"]
        assert [line for line in text.splitlines() if line.startswith("## ")] == heads


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_section_of_the_changelog_has_a_version_and_a_day() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    dated = r"## \d+\.\d+\.\d+(, not released yet)? \(\d{4}-\d\d-\d\d\)"
    assert heads
    assert [head for head in heads if not re.fullmatch(dated, head)] == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    home_or_workplace = re.compile(r"(?<![\w.~}-])/(?:work|root|Users|home/\w+)/\w")
    found = []
    for file in tracked_files():
        if file == Path(__file__):
            continue
        text = file.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{file.relative_to(ROOT)}: {m[0]}" for m in home_or_workplace.finditer(text)]
    assert found == []


#: The house, from left to right: nothing imports what stands to its right.
HOUSE = (
    "errors", "timeline", "model", "servers", "guard", "load", "records", "measure", "claims",
    "truth", "show", "publish", "cli", "__main__",
)  # fmt: skip


def test_nothing_imports_what_stands_to_its_right() -> None:
    package = ROOT / "src" / "gatewaylab"
    for path in package.rglob("*.py"):
        room = path.relative_to(package).with_suffix("").parts[0]
        if room == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gatewaylab"):
                _, _, inner = str(node.module).partition(".")
                for used in [inner.split(".")[0]] if inner else [one.name for one in node.names]:
                    known = used == "__version__" or HOUSE.index(used) <= HOUSE.index(room)
                    assert known, f"{path.relative_to(package)} imports {used}"


def test_the_map_shows_each_room_in_the_order_of_import() -> None:
    text = (ROOT / "src" / "gatewaylab" / "README.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)/?` \|", text, re.M)) == HOUSE
    rooms = {path.name for path in (ROOT / "src" / "gatewaylab").iterdir() if path.is_dir()}
    assert rooms - {"__pycache__"} <= set(HOUSE)


def test_no_module_is_long() -> None:
    lengths = sizes.modules()
    assert {name: n for name, n in lengths.items() if n > 400} == {}
    assert median(lengths.values()) <= 200


def test_the_cells_of_the_notebooks_are_short_and_share_no_function() -> None:
    lengths = [sizes.lines(cell) for code in sizes.cells().values() for cell in code]
    assert median(lengths) <= 6
    assert quantiles(lengths, n=10)[-1] <= 18
    assert sizes.shared_functions() == {}


def test_no_comparison_is_shown_without_its_conditions() -> None:
    """`Table` and `present` add them (tests/servers/test_conditions.py); nothing else shows one."""
    given = {one.name for one in fields(ServerSpec) if one.default is MISSING}
    assert {"loop", "parser", "log"} <= given
    code = "\n".join(cell for cells in sizes.cells().values() for cell in cells)
    assert re.findall(r"\b(?:HTML|Markdown|display|DataFrame|plt|Picture|conditions)\b", code) == []


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_a_script_is_thin_and_strict(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert len(lines) <= 20
    assert max(len(line) for line in lines) <= 100


def test_continuous_integration_only_calls_scripts() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[3:]
    assert all(re.match(r"\s*scripts/|for |done$", line) for line in lines)
    build = "scripts/build --system --profile quick --require-all"
    assert any(line.startswith(build) for line in lines)


def test_the_scripts_look_for_the_supported_pythons() -> None:
    script = (ROOT / "scripts" / "python").read_text(encoding="utf-8")
    first, last = (version.replace(".", ", ") for version in (PYTHONS[0], PYTHONS[-1]))
    assert f"({first}) <= sys.version_info[:2] <= ({last})" in script
    assert all(f"python{version}" in script for version in PYTHONS)


def test_the_accuracy_suite_runs_first_while_the_machine_is_quiet() -> None:
    suites = [path.name for path in (ROOT / "tests").iterdir() if path.is_dir()]
    modules = [path.name for path in (ROOT / "tests").glob("test_*.py")]
    assert min(name for name in suites + modules if not name.startswith("_")) == "accuracy"


# The lock.


def direct_dependencies() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"].values()
    everything = project["project"]["dependencies"] + [name for group in groups for name in group]
    return [Requirement(line) for line in everything]


def locked() -> Iterator[tuple[Requirement, str]]:
    """Each pin of requirements.txt with the text that follows it: hashes and comments."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for block in re.split(r"\n(?=\S)", text.strip()):
        line, rest = block.split(" \\\n", 1)
        yield Requirement(line), rest


def holds(requirement: Requirement, python: str) -> bool:
    here = dict[str, Any](default_environment())
    here |= {"python_version": python, "python_full_version": f"{python}.1"}
    return requirement.marker is None or requirement.marker.evaluate(here)


def test_every_locked_package_has_one_exact_version_and_hashes() -> None:
    for pin, rest in locked():
        assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), pin
        assert re.match(r"\s+--hash=sha256:[0-9a-f]{64}\b", rest), pin


@pytest.mark.parametrize("python", PYTHONS)
def test_each_direct_dependency_is_locked_to_a_version_that_it_allows(python: str) -> None:
    pins = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin, _ in locked()
        if holds(pin, python)
    }
    for wanted in direct_dependencies():
        if holds(wanted, python):
            name = canonicalize_name(wanted.name)
            assert name in pins, f"{name} is not locked: run scripts/lock"
            assert wanted.specifier.contains(pins[name]), f"{wanted} is locked to {pins[name]}"


def test_nothing_is_locked_as_a_direct_dependency_that_no_longer_is_one() -> None:
    direct = {canonicalize_name(wanted.name) for wanted in direct_dependencies()}
    marked = {
        canonicalize_name(pin.name)
        for pin, rest in locked()
        if "gatewaylab (pyproject.toml" in rest
    }
    assert marked == direct


# The workflows. zizmor judges the rest in scripts/check.


def workflow(path: Path) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_rights_but_those_that_a_job_asks_for(path: Path) -> None:
    document = workflow(path)
    assert document["permissions"] == {}
    assert document["concurrency"]
    events = document[True]  # YAML 1.1 reads the key "on" as a boolean
    assert "pull_request_target" not in events
    for job in document["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 180
        assert job["permissions"] in ({"contents": "read"}, *WRITERS.values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_each_action_and_otherwise_only_calls_scripts(path: Path) -> None:
    for step in steps(path):
        if "run" in step:
            assert re.match(r"scripts/\w+[^\n;&|]*\Z", step["run"]), step
        else:
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"]), step
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert all(re.search(r" # v\d+\.\d+\.\d+$", line) for line in used)


def test_each_job_that_can_write_can_write_only_what_it_is_for() -> None:
    found = {
        (path.stem, name): job["permissions"]
        for path in WORKFLOWS
        for name, job in workflow(path)["jobs"].items()
        if "write" in job["permissions"].values()
    }
    assert found == WRITERS


@pytest.mark.parametrize(("stem", "name"), WRITERS, ids=str)
def test_a_job_that_can_write_runs_nothing_that_was_installed(stem: str, name: str) -> None:
    """A package that turned bad could otherwise publish what it likes: it gets no right to."""
    job = workflow(ROOT / ".github" / "workflows" / f"{stem}.yml")["jobs"][name]
    called = [step["run"].split()[0] for step in job["steps"] if "run" in step]
    assert called == ([] if name == "deploy" else [f"scripts/{CALLED[name]}"])
    for script in called:
        assert not re.search(r"scripts/\w|\.venv|python|\bpip\b", _code(ROOT / script)), script


def _code(script: Path) -> str:
    """A script without its comments."""
    lines = script.read_text(encoding="utf-8").splitlines()
    return "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in lines)


def test_only_a_step_that_speaks_to_the_remote_is_given_the_token() -> None:
    for path in WORKFLOWS:
        document = workflow(path)
        for job in document["jobs"].values():
            assert "github.token" not in str(job.get("env", ""))
            for step in job["steps"]:
                if "github.token" in str(step):
                    assert step["run"].split()[0] in {"scripts/builds", "scripts/propose"}


def test_the_container_to_develop_in_is_the_workflows_ubuntu_and_renders_by_the_script() -> None:
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    (machine,) = {job["runs-on"] for path in WORKFLOWS for job in workflow(path)["jobs"].values()}
    image = rf"mcr\.microsoft\.com/devcontainers/base:\d+\.\d+\.\d+-{machine.replace('-', '')}"
    assert re.fullmatch(image, settings["image"])
    assert settings["postCreateCommand"] == "scripts/build --system --render-only"
    (port,) = settings["forwardPorts"]
    assert f"scripts/build --serve --port {port}" in settings["portsAttributes"][str(port)]["label"]
    assert f"scripts/build --render-only --serve --port {port}" in (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    )
    # A measured server's port is nobody's to look at, and no secret is asked for.
    assert settings["otherPortsAttributes"] == {"onAutoForward": "ignore"}
    assert not {"secrets", "containerEnv", "remoteEnv", "mounts", "runArgs"} & settings.keys()


def test_the_page_of_builds_says_truly_when_the_next_comes() -> None:
    events = workflow(ROOT / ".github" / "workflows" / "publish.yml")[True]
    assert [one["cron"].split()[2:] for one in events["schedule"]] == [["*", "*", "1"]]
    assert "every Monday and for every version" in NONE_YET


def test_the_tests_run_on_every_supported_python() -> None:
    matrix = workflow(ROOT / ".github" / "workflows" / "check.yml")["jobs"]["tests"]["strategy"]
    assert tuple(matrix["matrix"]["python"]) == PYTHONS
