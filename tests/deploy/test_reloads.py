"""A new version of the project behind nginx: `systemctl reload` costs no visitor an answer."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import psutil
import pytest

from tests.deploy.bed import Up, reload, servers_up, wait_until, web_server
from tests.deploy.conftest import needed
from tests.deploy.setups import SET_UPS

RELOADS = 6
VISITORS = 8


def visit_until(over: threading.Event, up: Up, seen: list[int | str], path: str = "/page") -> None:
    """Ask for a page, again and again, and note each status, or what failed.

    On a new connection each time: of a kept one that nginx has just closed, a browser asks again.
    """
    with up.client() as client:
        while not over.is_set():
            try:
                seen.append(client.get(path, headers={"Connection": "close"}).status_code)
            except httpx.TransportError as error:
                seen.append(type(error).__name__)


@pytest.mark.live
@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_no_visitor_notices_a_reload(name: str, session_folder: str) -> None:
    (one,) = (each for each in SET_UPS if each.name == name)
    needed(one)
    over, seen = threading.Event(), list[int | str]()
    with servers_up(one, Path(session_folder) / name) as servers, web_server(servers) as up:
        process = psutil.Process(up.processes[name].pid)
        visitors = [
            threading.Thread(target=visit_until, args=(over, up, seen)) for _ in range(VISITORS)
        ]
        for visitor in visitors:
            visitor.start()
        try:
            for _ in range(RELOADS):
                asked = len(seen)
                wait_until(lambda asked=asked: len(seen) > asked + VISITORS, "visits")  # type: ignore[misc]
                reload(process)
        finally:
            over.set()
            for visitor in visitors:
                visitor.join()
    assert set(seen) == {200}
