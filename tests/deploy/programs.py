"""The application servers of a set-up, as a unit or Compose starts them: command and limits.

Replaced are the folder of the installation, and an image's address and application; what systemd
or Docker does around them is not done.
"""

from __future__ import annotations

import json
import re
import resource
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gatewaylab.servers import installed
from gatewaylab.servers.commands import find_program
from tests.deploy.files import DEPLOY, Change
from tests.deploy.setups import IMAGE, SetUp

COMPOSE = "docker/compose.yaml"
GUNICORN = "gunicorn/gunicorn.conf.py"
SOFT_LIMIT = 1024  # open files, where systemd or Docker is told no other number


@dataclass(frozen=True)
class Program:
    """How a server is started.

    Attributes:
        argv: its command. files: how many it may hold open. env: what Compose says besides.
    """

    argv: list[str]
    files: int
    env: Mapping[str, str] = field(default_factory=dict)


def limited(argv: list[str], files: int) -> list[str]:
    """A command that starts `argv` with so many open files, or what this machine allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return [find_program("prlimit") or "prlimit", f"--nofile={min(files, hard)}:", *argv]


def of_unit(text: str, key: str, default: str = "") -> str:
    """The value of a key of a unit."""
    found = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    assert len(found) <= 1, f"{key} is there {len(found)} times"
    return str(found[0]) if found else default


def unit(name: str, folder: Path, change: Change) -> Program:
    """The service of ``systemd/<name>.service``."""
    file = f"systemd/{name}.service"
    text = change(file, (DEPLOY / file).read_text())
    words = shlex.split(of_unit(text, "ExecStart").replace("/srv/myproject/.venv/bin/", ""))
    return Program(
        _runnable(words, folder, change), int(of_unit(text, "LimitNOFILE", str(SOFT_LIMIT)))
    )


def compose(text: str, choice: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services of Compose's file, with its variables as ``.env`` sets them."""
    filled = re.sub(
        r"\$\{(\w+):([-?])([^}]*)\}",
        lambda found: choice.get(found[1], found[3] if found[2] == "-" else "x"),
        text,
    )
    services: dict[str, dict[str, Any]] = yaml.safe_load(filled)["services"]
    return services


def open_files(service: Mapping[str, Any]) -> int:
    """How many files a service may hold open."""
    return int((service.get("ulimits") or {}).get("nofile", SOFT_LIMIT))


def image(service: str, kind: str, port: int, folder: Path, change: Change) -> Program:
    """A service of Compose with the image of ``Dockerfile.<kind>``."""
    told = compose(change(COMPOSE, (DEPLOY / COMPOSE).read_text()), {service.upper(): kind})
    said = told[service]
    file = Path("docker", Path(said["build"]["dockerfile"]).name).as_posix()
    text = change(file, (DEPLOY / file).read_text())
    words = json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[-1])
    words = installed.command(words, host=IMAGE, port=port, app=words[-1])
    env = {name: said["environment"][name] for name in _READ if name in said["environment"]}
    return Program(_runnable(words, folder, change), open_files(said), env)


def web_server_files(one: SetUp, change: Change) -> int:
    """How many files the web server may hold open by itself: Compose says it, systemd does not."""
    if not one.images:
        return SOFT_LIMIT
    return open_files(compose(change(COMPOSE, (DEPLOY / COMPOSE).read_text()), {})["proxy"])


_READ = (
    "FORWARDED_ALLOW_IPS",
    "GUNICORN_CMD_ARGS",
)  # the project here has no secrets and no database


def _runnable(words: list[str], folder: Path, change: Change) -> list[str]:
    """A command with the program of this machine, and gunicorn's file where it names that."""
    place = f"deploy/{GUNICORN}"
    if place in words:
        own = folder / Path(GUNICORN).name
        own.write_text(change(GUNICORN, (DEPLOY / GUNICORN).read_text()))
        words = [str(own) if word == place else word for word in words]
    return [find_program(words[0]) or words[0], *words[1:]]
