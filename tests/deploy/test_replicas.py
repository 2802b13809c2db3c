"""The containers of Compose: how many slots they are, and a new version of them.

The new one starts beside the old one, nginx looks it up, then the old one stops.

Docker is not at work. The commands of the images are, and in place of the services' names stand the
addresses that nginx would find: a name that leads to several is several servers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.deploy import programs
from tests.deploy.bed import (
    PATIENCE,
    Up,
    free_port,
    reload,
    servers_up,
    started,
    wait_until,
    web_server,
)
from tests.deploy.conftest import needed
from tests.deploy.files import places, unchanged, write_web_server
from tests.deploy.setups import HOST, IMAGE, SET_UPS
from tests.deploy.test_processes import COMPOSE, command_of, gunicorn_settings
from tests.deploy.test_reloads import visit_until

PATHS = {"web": "/page", "live": "/events/whoami"}  # who answers, by the shipped site
VISITORS = 4  # of each

Ports = Mapping[str, int]


def healthy(port: int) -> bool:
    """What the image's own check looks for."""
    sent = {"Host": HOST, "X-Forwarded-Proto": "https"}
    try:
        return httpx.get(f"http://{IMAGE}:{port}/healthz", headers=sent).status_code == 200
    except httpx.TransportError:
        return False


def wait_for_health(ports: Ports) -> None:
    """As `up --wait` does."""
    wait_until(lambda: all(map(healthy, ports.values())), "health")


@contextmanager
def new_version(up: Up) -> Iterator[Ports]:
    """One more container of each service, all healthy."""
    ports = {service: free_port(IMAGE) for service in up.one.images}
    with ExitStack() as stack:
        for name, kind in up.one.images.items():
            program = programs.image(name, kind, ports[name], up.folder, unchanged)
            argv = programs.limited(program.argv, program.files)
            env = {**up.env, **program.env}
            stack.enter_context(started(argv, up.folder, env, f"new-{name}"))
        wait_for_health(ports)
        yield ports


def look_up(up: Up, *found: Ports) -> None:
    """`nginx -s reload`, where the name of each service now leads to these."""

    def addresses(_file: str, text: str) -> str:
        for name in PATHS:
            lines = [f"server {IMAGE}:{ports[name]} fail_timeout=0;" for ports in found]
            text = text.replace(f"server {name}:8000 fail_timeout=0;", "\n".join(lines))
        return text

    by = places(up.one, up.folder, up.port, up.port_80, up.ports)
    write_web_server(up.one, up.folder, by, addresses)
    reload(psutil.Process(int((up.folder / "nginx.pid").read_text())))


def wait_for_visits(seen: list[int | str]) -> None:
    """Until each visitor has come twice more, or as many in all."""
    asked = len(seen)
    wait_until(lambda: len(seen) > asked + 2 * VISITORS * len(PATHS), "visits")


@contextmanager
def visited(up: Up) -> Iterator[list[int | str]]:
    """What visitors of both services get, who ask again and again."""
    over, seen = threading.Event(), list[int | str]()
    visitors = [
        threading.Thread(target=visit_until, args=(over, up, seen, path))
        for path in [*PATHS.values()] * VISITORS
    ]
    for visitor in visitors:
        visitor.start()
    try:
        yield seen
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()


@pytest.mark.live
@pytest.mark.parametrize("looked_up", [True, False])
def test_no_page_is_lost_when_nginx_knows_the_new_ones_before_the_old_stop(
    looked_up: bool, session_folder: str
) -> None:
    (one,) = (each for each in SET_UPS if each.name == "containers")
    needed(one)
    folder = Path(session_folder) / f"replicas-{looked_up}"
    with servers_up(one, folder) as servers, web_server(servers) as up:
        wait_for_health(up.ports)
        with visited(up) as seen, new_version(up) as new:
            if looked_up:
                look_up(up, up.ports, new)
            for old in up.processes.values():
                old.terminate()
            assert {old.wait(PATIENCE) for old in up.processes.values()} <= {0, -15}
            wait_for_visits(seen)
            look_up(up, new)
            assert (set(seen) == {200}) == looked_up, (folder / "log" / "web.txt").read_text()


@pytest.mark.parametrize(
    ("choice", "slots"),
    [({}, 16), ({"LIVE": "wsgi"}, 32), ({"LIVE": "wsgi", "THREADS": "4"}, 16)], ids=str,
)  # fmt: skip
def test_compose_starts_as_many_slots_of_gunicorn_as_the_book_says(
    choice: dict[str, str], slots: int
) -> None:
    services = programs.compose(COMPOSE.read_text(), choice)
    counted = 0
    for one in (one for one in services.values() if "replicas" in one.get("deploy", {})):
        if one["image"] == "myproject-wsgi":
            words = command_of("wsgi")
            workers = int(words[words.index("--workers") + 1])
            said = gunicorn_settings(GUNICORN_CMD_ARGS=one["environment"]["GUNICORN_CMD_ARGS"])
            counted += one["deploy"]["replicas"] * workers * int(said["threads"])
    assert counted == slots
