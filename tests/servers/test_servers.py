"""The registry of servers: command lines, slots, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gatewaylab.errors import InputError
from gatewaylab.servers import fronts, installed, specs
from gatewaylab.servers.commands import Launch, find_program
from gatewaylab.servers.palette import PALETTE
from gatewaylab.servers.registry import APPS, Server, project_root, server, servers_table
from gatewaylab.servers.specs import NGINX, SERVERS
from tests import ROOT

TCP = Launch(
    app="m:application", host="127.1.2.3", port=9999, socket=None, slots=None, workers=1,
    folder=Path("/run/x"), project=Path("/project"),
)  # fmt: skip
UNIX = dataclasses.replace(TCP, socket=Path("/run/x/s"))


def command(name: str, launch: Launch = TCP, **changes: Any) -> str:
    """The command line as one string, the program's path left out."""
    return " ".join(SERVERS[name].command(dataclasses.replace(launch, **changes))[1:])


@pytest.mark.parametrize("name", SERVERS)
def test_the_command_names_the_app_and_the_loopback_address_once(name: str) -> None:
    if name == "mod_wsgi":
        text = SERVERS[name].files(TCP)["httpd.conf"]
        assert text.count("Listen 127.1.2.3:9999") == text.count("Listen ") == 1
    else:
        words = SERVERS[name].command(TCP)
        assert words.count("m:application") == 1
        assert " ".join(words).count("127.1.2.3") == " ".join(words).count("9999") == 1


@pytest.mark.parametrize("name", [name for name, spec in SERVERS.items() if spec.unix])
def test_on_a_unix_socket_no_address_is_left_in_the_command(name: str) -> None:
    assert "/run/x/s" in command(name, UNIX)
    assert "127." not in command(name, UNIX)


@pytest.mark.parametrize(
    "name", [n for n, s in SERVERS.items() if s.slot_kind != "coroutine" and not s.site_files]
)
def test_slots_become_the_servers_own_option(name: str) -> None:
    number = re.compile(r"\b8\b")
    assert number.search(command(name, slots=8))
    assert not number.search(command(name))


def test_slots_of_mod_wsgi_are_threads_of_its_daemon_process() -> None:
    files = SERVERS["mod_wsgi"].files(dataclasses.replace(TCP, slots=8, workers=2))
    assert "processes=2 threads=8" in files["httpd.conf"]
    assert files["app.wsgi"] == "from m import application as application\n"


@pytest.mark.parametrize("name", [n for n, s in SERVERS.items() if s.slot_kind == "coroutine"])
def test_servers_of_coroutines_take_no_slots(name: str) -> None:
    with pytest.raises(InputError, match="leave slots out"):
        server(name, slots=1)
    backlog = 1024 if name == "granian-asgi" else None  # granian's own back-pressure
    assert server(name).total_slots == backlog


def test_total_slots_are_those_of_all_workers() -> None:
    assert server("gunicorn-gthread", slots=4, workers=3).total_slots == 12
    assert server("waitress").total_slots == 4
    assert server("gunicorn-sync", workers=2).total_slots == 2


@pytest.mark.parametrize(("name", "default"), [("granian-wsgi", 512), ("granian-asgi", 1024)])
def test_granians_workers_share_its_default(name: str, default: int) -> None:
    assert [server(name, workers=number).total_slots for number in (1, 4, 3)] == [
        default, default, default // 3 * 3
    ]  # fmt: skip


def test_granian_divides_its_backlog_among_its_workers() -> None:
    """Its own source, asked: half of a worker's part is the threads of WSGI."""
    from granian import Granian
    from granian.constants import Interfaces

    made = {
        kind: Granian("m:a", interface=kind, workers=4)
        for kind in (Interfaces.WSGI, Interfaces.ASGI)
    }
    assert made[Interfaces.WSGI].blocking_threads * 4 == SERVERS["granian-wsgi"].default_slots
    assert made[Interfaces.ASGI].backpressure * 4 == SERVERS["granian-asgi"].default_slots


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("uvicorn", ["--no-access-log", "--lifespan off", "--loop asyncio"]),
        ("granian-asgi", ["--interface asginl", "--loop asyncio"]),
        ("gunicorn-asgi", ["--asgi-lifespan off", "--asgi-loop asyncio", "--no-control-socket"]),
        ("hypercorn", ["--worker-class asyncio"]),
        ("daphne", ["--access-log /dev/null"]),
        ("uwsgi", ["--die-on-term", "--need-app", "--disable-logging"]),
    ],
)
def test_servers_are_equalised(name: str, words: list[str]) -> None:
    for word in words:
        assert word in command(name)


def test_extra_options_come_last_so_that_they_win() -> None:
    text = command("uvicorn", extra=("--loop", "uvloop"))
    assert text.index("--loop asyncio") < text.index("--loop uvloop") < text.index("m:application")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "guvicorn"}, "known are: gunicorn-sync,"),
        ({"name": "uvicorn", "app": "flask"}, "flask has no ASGI callable"),
        ({"name": "waitress", "app": "fastapi"}, "apps that have one: raw, flask, django"),
        ({"name": "waitress", "app": "my app"}, "give module:callable"),
        ({"name": "waitress", "app": "os:system()"}, "give module:callable"),
        ({"name": "waitress", "slots": 0}, "at least 1"),
        ({"name": "waitress", "slots": True}, "at least 1"),
        ({"name": "waitress", "slots": 2.0}, "at least 1"),
        ({"name": "uvicorn", "workers": 0}, "at least 1"),
        ({"name": "daphne", "workers": 2}, "workers must be 1"),
        ({"name": "waitress", "workers": 2}, "workers must be 1"),
        ({"name": "mod_wsgi", "unix": True}, "TCP only"),
        ({"name": "gunicorn-sync", "extra": ["-b", "0.0.0.0:80"]}, "off the loopback"),
        ({"name": "gunicorn-sync", "extra": ["--bind=0.0.0.0:80"]}, "off the loopback"),
        ({"name": "uvicorn", "extra": ["--host", "0.0.0.0"]}, "off the loopback"),
        ({"name": "granian-wsgi", "extra": ["--uds", "/s"]}, "off the loopback"),
        ({"name": "uwsgi", "extra": ["--http-socket=:80"]}, "off the loopback"),
        ({"name": "uvicorn", "env": {"UVICORN_HOST": "0.0.0.0"}}, "belongs to the instrument"),
        ({"name": "gunicorn-sync", "env": {"GUNICORN_CMD_ARGS": "-b :80"}}, "belongs to"),
        ({"name": "uvicorn", "env": {"GATEWAYLAB_NONCE": "x"}}, "belongs to"),
    ],
)
def test_what_could_not_be_what_it_says_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        server(**arguments)


def test_a_server_is_hashable_and_its_record_is_plain_json() -> None:
    one = server("uvicorn", app="raw", workers=2, env={"B": "2", "A": "1"}, extra=["--x"])
    assert one == server("uvicorn", app="raw", workers=2, env={"A": "1", "B": "2"}, extra=("--x",))
    assert len({one, server("uvicorn", app="raw")}) == 2
    assert json.loads(json.dumps(one.as_dict())) == {
        "name": "uvicorn", "app": "raw", "slots": None, "workers": 2, "nginx": False,
        "unix": False, "tls": False, "env": {"A": "1", "B": "2"}, "extra": ["--x"], "site": "",
        "command": [],
    }  # fmt: skip


def test_labels_say_what_differs() -> None:
    assert server("gunicorn-sync", slots=1).label == "gunicorn sync, django, 1 slot"
    one = server("uvicorn", app="raw", nginx=True, unix=True, workers=2)
    assert one.label == "nginx → uvicorn, raw, 2 workers, unix socket"
    assert server("uvicorn", nginx=True, tls=True).label == "nginx → uvicorn, django, TLS"


def test_every_app_name_leads_to_a_callable_of_the_right_interface() -> None:
    assert server("waitress").target == "demo_apps.django_app.wsgi:application"
    assert server("uvicorn").target == "demo_apps.django_app.asgi:application"
    assert Server("uvicorn", "mine:app").target == "mine:app"
    for app in APPS.values():
        assert (ROOT / (app.settings.replace(".", "/") + ".py")).is_file()
        for target in app.targets.values():
            assert (ROOT / (target.partition(":")[0].replace(".", "/") + ".py")).is_file()


def test_figures_can_tell_all_servers_apart() -> None:
    markers = Counter(spec.marker for spec in SERVERS.values())
    assert [name for name, spec in SERVERS.items() if markers[spec.marker] > 1] == []
    colors = {light for name, (light, _) in PALETTE.items() if name != "waiting"}
    assert {spec.color for spec in SERVERS.values()} <= colors


def test_the_table_tells_versions_and_how_to_install() -> None:
    rows = {row["name"]: row for row in servers_table()}
    assert list(rows) == list(SERVERS)
    assert rows["uvicorn"]["version"] == metadata.version("uvicorn")
    assert metadata.version("gevent") in rows["gunicorn-gevent"]["version"]
    assert rows["waitress"]["default_slots"] == 4
    assert rows["uwsgi"]["install_hint"] == "scripts/install"
    json.dumps(list(rows.values()))


def test_what_is_not_installed_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    assert SERVERS["uvicorn"].version() is None
    assert not SERVERS["uvicorn"].available()


@pytest.mark.parametrize("built_for", [None, (3, 1)])
def test_a_mod_wsgi_for_another_python_is_not_available(
    built_for: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specs, "mod_wsgi_python", lambda: built_for)
    spec = SERVERS["mod_wsgi"]
    assert not spec.available()
    assert spec.install_hint().startswith("scripts/install")
    assert ("Python 3.1 " in spec.install_hint()) == (built_for is not None)


def test_a_missing_mod_wsgi_has_no_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fronts, "APACHE_MODULES", tmp_path)
    assert (fronts.mod_wsgi_python(), fronts.mod_wsgi_version()) == (None, None)
    (tmp_path / "mod_wsgi.so").write_bytes(b"\0libpython3.12.so.1.0\x003.12.4\x005.0.2\0")
    assert fronts.mod_wsgi_python() == (3, 12)


def test_programs_are_looked_for_beside_the_interpreter_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("PATH", str(elsewhere))
    for folder in (elsewhere, tmp_path):
        (folder / "uvicorn").touch(mode=0o755)
        assert find_program("uvicorn") == str(folder / "uvicorn")
    assert find_program("no-such-program") is None


def test_the_project_is_found_from_below_and_not_elsewhere(tmp_path: Path) -> None:
    assert project_root(Path(__file__).parent) == ROOT
    assert project_root(tmp_path) == tmp_path.resolve()


def test_nginx_listens_on_loopback_and_keeps_its_files_in_the_runs_folder() -> None:
    text = fronts.nginx_conf(
        host="127.4.5.6", port=9000, upstream="unix:/run/x/s", folder=Path("/run/x")
    )
    assert text.count("listen ") == 1
    assert "listen 127.4.5.6:9000;" in text
    assert "server unix:/run/x/s;" in text
    paths = [line.split()[1] for line in text.splitlines() if "_path " in line or "pid " in line]
    assert len(paths) == 6
    assert all(path.startswith("/run/x/") for path in paths)
    assert NGINX.install_hint() == "scripts/install --system"


# Configurations as a user installs them

SITE = "deploy/nginx/gunicorn.conf"


def test_a_site_brings_nginx_with_it_and_is_on_record() -> None:
    one = server("gunicorn-gthread", site=SITE)
    assert one.nginx
    assert one.label == f"nginx → gunicorn gthread, django, {SITE}"
    assert one.as_dict()["site"] == SITE
    assert "nginx" in one.systems


def test_the_site_of_mod_wsgi_is_apaches() -> None:
    one = server("mod_wsgi", site="deploy/apache/mod_wsgi.conf")
    assert not one.nginx
    assert one.systems == ("apache", "mod_wsgi", "django")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "uvicorn", "site": "deploy/nginx/none.conf"}, "no site file"),
        ({"name": "uvicorn", "site": "deploy/nginx"}, "no site file"),
        ({"name": "uvicorn", "tls": True}, "ended by nginx"),
        ({"name": "uvicorn", "site": "../outside.conf"}, "no site file"),
        ({"name": "mod_wsgi", "site": SITE, "slots": 4}, "leave out nginx and slots"),
        ({"name": "mod_wsgi", "site": SITE, "nginx": True}, "leave out nginx and slots"),
        ({"name": "uvicorn", "command": ["gunicorn", "x"]}, "begins with uvicorn"),
        ({"name": "uvicorn", "command": ["uvicorn", "x"], "workers": 2}, "as it is written"),
        ({"name": "uvicorn", "command": ["uvicorn", "myproject.asgi:application"]}, "0.0.0.0"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_refused(
    arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        server(**arguments)


def run_site(text: str) -> dict[str, str]:
    return fronts.nginx_files(
        host="127.1.2.3", port=9999, upstream="unix:/run/x/s", folder=Path("/run/x"),
        site=SITE, text=text, public=Path("/project/public"),
    )  # fmt: skip


def test_only_three_lines_of_a_site_are_replaced() -> None:
    before = installed.read(ROOT, SITE)
    files = run_site(before)
    pairs = zip(before.splitlines(), files["site.conf"].splitlines(), strict=True)
    assert [new.strip() for old, new in pairs if old != new] == [
        "server unix:/run/x/s fail_timeout=0;",
        "listen 127.1.2.3:9999;",
        "root /project/public;",
    ]
    assert "include /run/x/site.conf;" in files["nginx.conf"]
    assert "include" not in files["site.conf"]
    assert "log_format" in files["site.conf"]
    assert "listen" not in files["nginx.conf"]


@pytest.mark.parametrize(
    ("line", "other", "what"),
    [
        ("include myproject/tls.conf;", "listen 80;", "tls"),
        (
            "server unix:/run/myproject/gunicorn.sock fail_timeout=0;",
            "server unix:/run/other.sock;", "upstream",
        ),
        ("root /srv/myproject/public;", "root /srv/other;", "root"),
    ],
)  # fmt: skip
def test_a_place_that_is_missing_or_says_two_things_is_refused(
    line: str, other: str, what: str
) -> None:
    text = installed.read(ROOT, SITE)
    assert text.count(line) == 1
    for times, lines in ((0, ""), (2, f"{line}\n    {other}")):
        with pytest.raises(InputError, match=f"exactly one .*{what}.* has {times}"):
            run_site(text.replace(line, lines))


@pytest.mark.parametrize("file", sorted((ROOT / "demo_apps" / "nginx").glob("*.conf")))
def test_a_site_that_is_wrong_on_purpose_can_be_run(file: Path) -> None:
    site = run_site(file.read_text(encoding="utf-8"))["site.conf"]
    assert "listen 127.1.2.3:9999;" in site
    assert "/srv/" not in site


def test_an_upstream_may_name_the_same_socket_twice() -> None:
    line = "server unix:/run/myproject/gunicorn.sock fail_timeout=0;"
    text = installed.read(ROOT, SITE).replace(line, f"{line}\n    {line}")
    assert "/run/myproject/" not in run_site(text)["site.conf"]


def test_the_virtual_host_runs_this_project_with_this_interpreter() -> None:
    text = installed.read(ROOT, "deploy/apache/mod_wsgi.conf")
    launch = dataclasses.replace(TCP, app="a.wsgi:application")
    files = fronts.apache_site_files(launch, "mod_wsgi.conf", text, Path("/project/public"))
    site = files["site.conf"]
    assert "<VirtualHost 127.1.2.3:9999>" in site
    assert "WSGIScriptAlias / /project/a/wsgi.py" in site
    assert f"python-home={sys.prefix} " in site
    assert "tls.conf" not in site
    left = [line.split()[0] for line in site.splitlines() if "/srv/" in line and "#" not in line]
    assert left == ["Alias"]  # of uploads, of which there are none
    assert files["httpd.conf"].count("Listen ") == 1


def test_a_command_keeps_its_options() -> None:
    words = ["uvicorn", "--host=0.0.0.0", "--port", "8000", "--x", "y", "myproject.asgi:app"]
    assert installed.command(words, host="127.1.2.3", port=9, app="m:a") == [
        "uvicorn", "--host=127.1.2.3", "--port", "9", "--x", "y", "m:a"
    ]  # fmt: skip
    one = server("uvicorn", command=words)
    assert one.command == tuple(words)
    assert one.label.endswith(" ".join(words))
