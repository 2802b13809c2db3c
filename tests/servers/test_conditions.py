"""The conditions of a server are those of the command that starts it, and a table shows them."""

from __future__ import annotations

import pytest

from gatewaylab.servers.conditions import Conditions, conditions, sentence
from gatewaylab.servers.registry import server
from gatewaylab.servers.specs import SERVERS
from gatewaylab.show.charts import strip
from gatewaylab.show.figures import present
from gatewaylab.show.tables import Cell, Table
from gatewaylab.timeline import Session

BARE = ["uvicorn", "--host", "0.0.0.0", "--port", "8000", "myproject.asgi:application"]


@pytest.mark.parametrize("name", SERVERS)
def test_each_server_names_loop_parser_workers_log_and_protocol(name: str) -> None:
    found = conditions(server(name))
    assert all(found)
    assert found.workers == "1 worker"
    assert found.log == "access log off"


def test_options_win_over_what_the_registry_gives() -> None:
    two = conditions(server("uvicorn", workers=2, extra=["--loop", "uvloop", "--http=h11"]))
    assert two == Conditions(
        "uvicorn", "loop uvloop", "parser h11", "2 workers", "access log off", "HTTP over TCP"
    )
    assert (
        conditions(server("gunicorn-asgi", extra=["--asgi-loop", "uvloop"])).loop == "loop uvloop"
    )
    assert conditions(server("gunicorn-sync", slots=3)).workers == "3 workers"
    assert (
        conditions(server("gunicorn-sync", extra=["--access-logfile", "-"])).log == "access log on"
    )
    secured = conditions(server("uvicorn", nginx=True, unix=True, tls=True))
    assert secured.protocol == "HTTP and TLS through nginx over a unix socket"


def test_a_bare_command_has_the_programs_own_defaults() -> None:
    bare = conditions(server("uvicorn", command=BARE, env={"WEB_CONCURRENCY": "2"}))
    assert bare[1:5] == ("loop uvloop", "parser httptools", "2 workers", "access log on")
    typed = conditions(server("uvicorn", command=[*BARE[:5], "--workers", "3", BARE[5]]))
    assert typed.workers == "3 workers"


def test_a_configuration_file_decides_about_the_log() -> None:
    site = server("mod_wsgi", site="deploy/apache/mod_wsgi.conf")
    file = server("gunicorn-sync", extra=["--config", "deploy/gunicorn/gunicorn.conf.py"])
    assert {conditions(one).log for one in (site, file)} == {"access log as configured"}


def test_what_servers_have_in_common_is_said_once() -> None:
    told = sentence(conditions(server(name)) for name in ("uvicorn", "hypercorn", "uvicorn"))
    assert told == (
        "hypercorn (parser h11), uvicorn (parser httptools); "
        "with loop asyncio, 1 worker, access log off, HTTP over TCP; clients speak HTTP/1.1."
    )
    assert sentence([]) == ""


def test_a_table_and_a_figure_say_under_which_conditions_servers_were_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session()
    monkeypatch.setattr("gatewaylab.servers.conditions.session", session)
    rows: list[dict[str, Cell]] = [{"server": "a", "n": 1}]
    assert "tfoot" not in Table(rows, "before")._repr_html_()
    with session.at_work("uvicorn", under=conditions(server("uvicorn"))):
        pass
    shown = Table(rows, "one")._repr_html_()
    drawing = present(strip({"a": [1.0, 2.0]}, unit="ms", x="x"), alt="a", caption="beside it")
    said = "uvicorn; with loop asyncio, parser httptools, 1 worker, access log off, HTTP over TCP"
    for html in (shown, drawing._repr_html_()):
        assert f"{said}; clients speak HTTP/1.1." in html
    with session.at_work("waitress", under=conditions(server("waitress"))):
        session.speak("HTTP/2")
    after = Table(rows, "the next")._repr_html_()
    assert "waitress (no loop, " in after
    assert "clients speak HTTP/1.1 and HTTP/2." in after
