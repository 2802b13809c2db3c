"""Each command of *Which should you use?*, read from the page and followed with a new project.

The project is what ``startproject`` makes, with the settings of *Production set-ups* at the end of
its own, and the paths that the visits ask for.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from gatewaylab.servers.commands import find_program
from tests import ROOT
from tests.deploy import bed
from tests.deploy.conftest import needed
from tests.deploy.files import DEPLOY, PROJECT
from tests.deploy.setups import PROXY, SetUp
from tests.deploy.visits import VISITS

SOCKETS = {"gunicorn": "unix:/run/myproject/gunicorn.sock",
           "uvicorn": "unix:/run/myproject-asgi/uvicorn.sock"}  # fmt: skip
VISITED = ("page", "static", "origin", "events_http1", "events_http2")
ADDED = {
    "settings.py": f"""
INSTALLED_APPS += ["rest_framework", "channels"]
STATICFILES_DIRS = [{str(PROJECT / "myproject" / "assets")!r}]
SITE, PREFIX, BY_NGINX = BASE_DIR, "", True
""",
    "urls.py": """
from myproject.urls import urlpatterns as visited
urlpatterns = visited + urlpatterns
""",
    "wsgi.py": """
from myproject.door import noted
application = noted(application)
""",
    "asgi.py": """
from channels.routing import ProtocolTypeRouter
from myproject.asgi import sockets
from myproject.door import noted_async
application = noted_async(ProtocolTypeRouter({"http": application, "websocket": sockets}))
""",
}


def blocks(page: str, language: str, heading: str) -> Iterator[str]:
    """The code of a language below a heading, up to the next one of its rank."""
    text = (ROOT / "book" / page).read_text(encoding="utf-8")
    rank = heading.split()[0]
    part = re.split(rf"^#{{1,{len(rank)}}} ", text.partition(f"\n{heading}\n")[2], flags=re.M)[0]
    return (one[1] for one in re.finditer(rf"^```{language}\n(.*?)^```$", part, re.M | re.S))


def paths() -> list[str]:
    """The command lines of each short path."""
    return list(blocks("which.md", "bash", "## Short paths"))


def settings() -> str:
    (text,) = blocks("production.md", "python", "## nginx and gunicorn")
    return text


def new_project(site: Path) -> None:
    """What a reader makes in /srv/myproject, up to `collectstatic`."""
    shutil.copytree(DEPLOY / "public", site / "public")
    django = (sys.executable, "-m", "django", "startproject", "mysite", str(site))
    bed.run(*django, cwd=site)
    (site / "public" / "media").mkdir()
    (site / "calls").touch()
    for name, text in ADDED.items():
        with (site / "mysite" / name).open("a") as file:
            file.write(f"\n{settings() if name == 'settings.py' else ''}{text}")


@contextmanager
def followed(commands: str, folder: Path) -> Iterator[bed.Up]:
    """A short path at work, behind nginx with TLS."""
    # Here the project is called mysite: the tests have a myproject, with the visited views.
    lines = [shlex.split(line) for line in commands.replace("myproject.", "mysite.").splitlines()]
    servers = tuple(words[0] for words in lines)
    site = "both" if len(servers) > 1 else servers[0]
    one = SetUp(site, f"nginx/{site}.conf", servers)
    needed(one)
    for made in ("", "log", "site"):
        (folder / made).mkdir()
    bed.make_certificate(folder / "tls")
    new_project(folder / "site")
    env = bed.environment(one, folder / "site")
    env |= {"PYTHONPATH": f"{folder / 'site'}:{PROJECT}", "HOME": str(folder), "SECRET_KEY": "x"}
    del env["WEB_CONCURRENCY"], env["DJANGO_SETTINGS_MODULE"]
    manage = (sys.executable, "manage.py", "collectstatic", "--no-input")
    bed.run(*manage, cwd=folder / "site", env=env)
    ports = {name: bed.free_port() for name in servers}
    processes = dict[str, subprocess.Popen[bytes]]()
    up = bed.Up(one, bed.free_port(), bed.free_port(), {}, folder, env, processes)

    def to_ports(_name: str, text: str) -> str:
        """A try, as the page says: the commands' ports in place of the units' sockets."""
        for name, port in ports.items():
            text = text.replace(SOCKETS[name], f"{PROXY}:{port}")
        return text

    with ExitStack() as stack:
        for program, *words in lines:
            where = {"gunicorn": ["--bind", f"{PROXY}:{ports[program]}"],
                     "uvicorn": ["--port", str(ports[program])]}[program]  # fmt: skip
            argv = [find_program(program) or program, *words, *where]
            processes[program] = stack.enter_context(
                bed.started(argv, folder, env, program, cwd=folder / "site")
            )
        yield stack.enter_context(bed.web_server(up, to_ports))


def test_the_page_has_paths_for_either_server_and_for_both() -> None:
    programs = {frozenset(line.split()[0] for line in path.splitlines()) for path in paths()}
    assert programs == {
        frozenset({"gunicorn"}), frozenset({"uvicorn"}), frozenset({"gunicorn", "uvicorn"})
    }  # fmt: skip


@pytest.mark.live
@pytest.mark.parametrize("commands", dict.fromkeys(paths()), ids=lambda text: text[:60])
def test_a_path_starts_serves_reloads_and_stops(commands: str, session_folder: str) -> None:
    folder = Path(session_folder) / str(paths().index(commands))
    with followed(commands, folder) as up:
        for visit in VISITED:
            VISITS[visit](up)
        if "uvicorn" in up.processes:
            VISITS["websocket"](up)
        for name, process in up.processes.items():
            (line,) = (one for one in commands.splitlines() if one.startswith(name))
            if name == "gunicorn" or "--workers" in line:
                bed.reload(psutil.Process(process.pid))
                VISITS["page"](up)
        for name, process in up.processes.items():
            process.terminate()
            assert process.wait(bed.PATIENCE) in ({0} if name == "gunicorn" else {0, -15})
