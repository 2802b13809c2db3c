"""The environment record: on what machine, with which versions, a number was seen."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil

from gatewaylab.load.samples import Frozen
from gatewaylab.servers.specs import SERVERS

#: Distributions besides the servers' whose version decides a result; the lock file names the rest.
_NAMED = (
    "django", "djangorestframework", "channels", "flask", "fastapi", "starlette", "asgiref",
    "uvloop", "httptools", "numpy", "scipy",
)  # fmt: skip


class Environment(Frozen):
    """Everything about the machine that a reader needs to judge or repeat a measurement.

    Attributes:
        cpu: the processor's name. cores: logical processors this process may use.
        memory_gib: installed memory. kernel, system: of the operating system.
        kind: a short name of the kind of machine; evidence from another kind is stale.
        container: what was found of a container or virtual machine, or "none found".
        ci: whether the run was in a CI service.
        python: version and implementation. gil: whether the interpreter has its lock on.
        packages: versions of the systems under test. lock: SHA-256 of ``requirements.txt``.
        commit: of the checkout, with ``+dirty`` when files differ; None outside a checkout.
    """

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    system: str
    kind: str
    container: str
    ci: bool
    python: str
    gil: bool
    packages: dict[str, str]
    lock: str
    commit: str | None


def record(root: Path) -> Environment:
    """Read the environment of the project at ``root``; nothing here takes longer than 0.1 s."""
    cpu, cores = cpu_name(), len(available_cores())
    lock = root / "requirements.txt"
    return Environment(
        cpu=cpu,
        cores=cores,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        kernel=platform.release(),
        system=_system(),
        kind=machine_kind(),
        container=_container(),
        ci=os.environ.get("CI", "").lower() in {"1", "true"},
        python=f"{platform.python_implementation()} {platform.python_version()}",
        gil=gil_enabled(),
        packages=_versions([*_NAMED, *_servers()]),
        lock=hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else "",
        commit=_commit(root),
    )


def machine_kind() -> str:
    """Processor, cores and Python minor version: what a stored measurement is tied to."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{cpu_name()} × {len(available_cores())}, Python {minor}"


def available_cores() -> list[int]:
    """The logical processors this process may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def gil_enabled() -> bool:
    """Whether this interpreter runs one thread of Python at a time."""
    probe = getattr(sys, "_is_gil_enabled", None)
    return True if probe is None else bool(probe())


def cpu_name() -> str:
    """The processor's marketing name, or the architecture where it is not told."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or sysconfig.get_platform()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _container() -> str:
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and " hypervisor" in cpuinfo.read_text(errors="replace"):
        return "virtual machine"
    return "none found"


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _servers() -> list[str]:
    """The distributions of all servers and their plugins, each once."""
    names = [name for spec in SERVERS.values() for name in (spec.distribution, spec.plugin)]
    return list(dict.fromkeys(filter(None, names)))


def _commit(root: Path) -> str | None:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments],
                capture_output=True,
                text=True,
                timeout=5,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    return commit + ("+dirty" if git("status", "--porcelain") else "")
