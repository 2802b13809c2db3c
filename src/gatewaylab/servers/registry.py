"""A chosen server with its application and its front, and the demo applications by name.

A *slot* is whatever can hold one request in flight. Nothing here starts a server; see `process`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gatewaylab.errors import InputError
from gatewaylab.servers import installed
from gatewaylab.servers.specs import NGINX, SERVERS, Front, Interface, ServerSpec


@dataclass(frozen=True)
class App:
    """A demo application; all of them answer ``GET /whoami`` with the run's nonce.

    Attributes:
        wsgi, asgi: the callable at each door, ``module:callable``; empty where it has none.
        settings: the Django settings module that it is started with.
        systems: the frameworks at work in it, by the names that claims use.
    """

    wsgi: str = ""
    asgi: str = ""
    settings: str = "demo_apps.django_app.settings"
    systems: tuple[str, ...] = ("django",)

    @property
    def targets(self) -> dict[Interface, str]:
        """The callable for each interface that it has."""
        doors = {Interface.WSGI: self.wsgi, Interface.ASGI: self.asgi}
        return {interface: target for interface, target in doors.items() if target}


def _project(settings: str, *, asgi: str = "demo_apps.django_app.asgi:application") -> App:
    """The Django project with other settings, which name its views."""
    return App("demo_apps.django_app.wsgi:application", asgi, f"demo_apps.{settings}")


APPS: Mapping[str, App] = MappingProxyType(
    {
        "raw": App("demo_apps.raw_wsgi:application", "demo_apps.raw_asgi:application", systems=()),
        "flask": App("demo_apps.flask_app:application", systems=("flask",)),
        "fastapi": App(asgi="demo_apps.fastapi_app:application", systems=("fastapi",)),
        "django": _project("django_app.settings"),
        # The same views without REST framework and Channels: a start takes half as long.
        "django-lean": App(
            "demo_apps.django_lean.wsgi:application", "demo_apps.django_lean.asgi:application"
        ),
        "django-react": _project("django_app.settings_react"),
        "django-async": _project("django_async.settings"),
        "django-async-atomic": _project("django_async.settings_atomic"),
        # At its ASGI door without the router of Channels.
        "django-async-alone": _project(
            "django_async.settings", asgi="demo_apps.django_async.asgi:application"
        ),
        "django-api": _project("django_async.settings_api"),
        "django-api-alone": _project(
            "django_async.settings_api", asgi="demo_apps.django_async.asgi:application"
        ),
        "django-chat": _project("django_async.settings_chat"),
        "django-channels": App(
            asgi="demo_apps.django_channels.asgi:application",
            settings="demo_apps.django_channels.settings",
        ),
        "django-database": _project("django_database.settings"),
        "django-files": _project("django_files.settings"),
        "django-streams": _project("django_streams.settings"),
        # Its views note when they begin and end.
        "django-moments": _project("django_threads.settings_moments"),
        "django-moments-pool": App(
            asgi="demo_apps.django_threads.pool:application",
            settings="demo_apps.django_threads.settings_moments",
        ),
        "fastapi-moments": App(
            asgi="demo_apps.django_threads.fastapi:application", systems=("fastapi",)
        ),
        # Counted: which threads are started, what is given to a pool.
        "django-threads": App(
            "demo_apps.django_threads.wsgi:application",
            "demo_apps.django_threads.asgi:application",
            "demo_apps.django_threads.settings",
        ),
        "django-threads-pool": App(
            asgi="demo_apps.django_threads.pool:application",
            settings="demo_apps.django_threads.settings",
        ),
        "django-threads-seven": App(
            asgi="demo_apps.django_threads.asgi:application",
            settings="demo_apps.django_threads.settings_seven",
        ),
        # All of it is imported before a worker is forked.
        "django-loaded": App("demo_apps.django_app.wsgi_loaded:application"),
    }
)
"""The demo applications by short name."""


@dataclass(frozen=True)
class Server:
    """A chosen configuration of a server, its application and its front: what notebooks pass on.

    Made by `server`, which checks it. `slots` counts per worker; None is the server's default.
    `site` is the web server's configuration file, by its path from the project's folder; empty
    for the one that the instrument writes itself. `command` is a whole command line as a container
    is started with it; empty for the one that the registry makes.
    """

    spec_name: str
    app: str
    slots: int | None = None
    workers: int = 1
    nginx: bool = False
    unix: bool = False
    tls: bool = False
    env: tuple[tuple[str, str], ...] = ()
    extra: tuple[str, ...] = ()
    site: str = ""
    command: tuple[str, ...] = ()

    @property
    def spec(self) -> ServerSpec:
        """What is known about this kind of server."""
        return SERVERS[self.spec_name]

    @property
    def interface(self) -> Interface:
        """WSGI or ASGI."""
        return self.spec.interface

    @property
    def target(self) -> str:
        """The application's ``module:callable``."""
        return APPS[self.app].targets[self.interface] if self.app in APPS else self.app

    @property
    def settings(self) -> str:
        """The Django settings module that its environment names, unless `env` does."""
        return APPS.get(self.app, App()).settings

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of all that is at work when it runs: the server's parts, nginx, the app."""
        frameworks = APPS[self.app].systems if self.app in APPS else ()
        return (*self.spec.systems, *(["nginx"] if self.nginx else []), *frameworks)

    @property
    def total_slots(self) -> int | None:
        """Slots over all workers, defaults included; None when nothing bounds them."""
        slots = self.slots
        if slots is None and (slots := self.spec.default_slots) and self.spec.divides_default:
            slots //= self.workers
        return None if slots is None else slots * self.workers

    @property
    def processes(self) -> int:
        """Worker processes that are asked for; 1 where a site or a file of settings decides."""
        words = "\0".join((*self.command, *self.extra))
        typed = re.findall(r"(?:^|\0)(?:--workers|--processes|-w)[\0=](\d+)", words)
        if typed:
            return int(typed[-1])
        if self.command and self.spec.reads_concurrency:
            variable = dict(self.env).get("WEB_CONCURRENCY", "")
            return int(variable) if variable.isdecimal() else 1
        own = self.slots or 1 if self.spec.slot_kind == "process" else 1
        return own * self.workers

    @property
    def label(self) -> str:
        """A short name for tables and figures: what differs from the bare server, and no more."""
        parts = [f"nginx → {self.spec.title}" if self.nginx else self.spec.title, self.app]
        if self.slots is not None:
            parts.append(f"{self.slots} slot{'s' * (self.slots != 1)}")
        if self.workers != 1:
            parts.append(f"{self.workers} workers")
        if self.unix:
            parts.append("unix socket")
        if self.tls:
            parts.append("TLS")
        if self.site:
            parts.append(self.site)
        parts.extend(f"{name}={value}" for name, value in self.env)
        if self.extra or self.command:
            parts.append(" ".join(self.command or self.extra))
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """The configuration as JSON-able values, for the record of a trial."""
        fields = asdict(self)
        return {
            "name": fields.pop("spec_name"),
            **fields,
            "env": dict(self.env),
            "extra": list(self.extra),
            "command": list(self.command),
        }


# Variables through which a server would take options, and an address, past this registry.
_OPTION_VARIABLES = re.compile(r"GUNICORN_CMD_ARGS|(UVICORN|GRANIAN|UWSGI)_.*|PORT")
_OWN_VARIABLES = frozenset({"GATEWAYLAB_NONCE", "GATEWAYLAB_RUN", "PYTHONPATH"})


def server(
    name: str,
    *,
    app: str = "django",
    slots: int | None = None,
    workers: int = 1,
    nginx: bool = False,
    unix: bool = False,
    tls: bool = False,
    env: Mapping[str, str] | None = None,
    extra: Sequence[str] = (),
    site: str = "",
    command: Sequence[str] = (),
) -> Server:
    """Choose a server, and refuse a configuration that could not be what it says.

    Args:
        name: one of `SERVERS`.
        app: a name of `APPS`, or any ``module:callable`` importable from the project's folder.
        slots: slots of each worker, of the server's own kind (for gunicorn sync, whose slot is a
            process, the number of processes); None = the server's default.
        workers: processes, where the server has such an option.
        nginx: put a private nginx before it.
        unix: let the server listen on a unix socket instead of TCP.
        tls: let nginx listen at a second address with TLS, as certbot would; needs nginx.
        env: further environment variables. extra: further command line options.
        site: a web server's configuration file as a user would install it, by its path from the
            project's folder: an nginx site (then `nginx` is implied) or, for mod_wsgi, Apache's
            virtual host. Only the places that `installed` lists are replaced in it.
        command: the whole command line, as in a Dockerfile, in place of the registry's. Only the
            address ``0.0.0.0``, the port ``8000`` and the application are replaced in it.

    Raises:
        InputError: naming what is wrong and what would be right.
    """
    if name not in SERVERS:
        raise InputError(f"unknown server {name!r}; known are: {', '.join(SERVERS)}")
    spec = SERVERS[name]
    _check_app(spec, app)
    for what, number in (("slots", slots), ("workers", workers)):
        if number is not None and (
            isinstance(number, bool) or not isinstance(number, int) or number < 1
        ):
            raise InputError(f"{what} must be a whole number of at least 1, not {number!r}")
    if slots is not None and spec.slot_kind == "coroutine":
        raise InputError(f"{name} has one coroutine per request and no bound: leave slots out")
    if workers > 1 and not spec.workers:
        raise InputError(f"{name} runs in one process: workers must be 1")
    if unix and not spec.unix:
        raise InputError(f"{name} listens on TCP only: unix=True is not possible")
    own_site = spec.site_files is not None
    if tls and not (nginx or (site and not own_site)):
        raise InputError("TLS is ended by nginx here: give nginx=True, or an nginx site")
    if site:
        installed.read(project_root(), site)
        if own_site and (nginx or slots is not None or workers > 1):
            raise InputError(f"{site} says how {spec.title} runs: leave out nginx and slots")
    if command:
        if slots is not None or workers > 1 or unix or extra or command[0] != spec.program:
            raise InputError(
                f"a command is run as it is written: it begins with {spec.program}, and slots, "
                "workers, unix and extra are left out"
            )
        installed.command(command, host="127.0.0.1", port=80, app="module:callable")
    for variable in env or {}:
        if variable in _OWN_VARIABLES or _OPTION_VARIABLES.fullmatch(variable):
            raise InputError(f"the variable {variable} belongs to the instrument; use extra=")
    for option in extra:
        flag = option.partition("=")[0]
        if flag in spec.binds.split():
            raise InputError(f"{flag} would move {name} off the loopback address it is given")
    return Server(
        spec_name=name, app=app, slots=slots, workers=workers,
        nginx=bool(nginx) or bool(site and not own_site), unix=bool(unix),
        tls=bool(tls), env=tuple(sorted((env or {}).items())), extra=tuple(extra), site=site,
        command=tuple(command),
    )  # fmt: skip


def _check_app(spec: ServerSpec, app: str) -> None:
    if app in APPS:
        if spec.interface not in APPS[app].targets:
            able = ", ".join(known for known in APPS if spec.interface in APPS[known].targets)
            raise InputError(
                f"{app} has no {spec.interface.upper()} callable, and {spec.name} serves nothing "
                f"else; apps that have one: {able}"
            )
        return
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*", app):
        raise InputError(f"unknown app {app!r}; give module:callable, or one of {', '.join(APPS)}")


def project_root(start: Path | None = None) -> Path:
    """The folder that servers start in: the nearest one above with the demo apps, else `start`.

    Args:
        start: where to look from; the working directory when None.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "demo_apps").is_dir():
            return folder
    return here


def missing(*wanted: Server) -> list[str]:
    """What the given configurations lack on this machine, each with the line that installs it."""
    lacking: dict[str, str] = {}
    for one in wanted:
        parts: tuple[ServerSpec | Front, ...] = (one.spec, NGINX) if one.nginx else (one.spec,)
        for part in parts:
            if not part.available():
                lacking[part.name] = part.install_hint()
    return [f"{name}: {hint}" for name, hint in lacking.items()]


def servers_table() -> list[dict[str, Any]]:
    """One JSON-able row per server: what it is, and whether it can be measured on this machine."""
    return [
        {
            "name": spec.name,
            "title": spec.title,
            "interface": spec.interface.value,
            "slot_kind": spec.slot_kind,
            "default_slots": spec.default_slots,
            "keep_alive": spec.keep_alive,
            "version": spec.version(),
            "available": spec.available(),
            "install_hint": spec.install_hint(),
        }
        for spec in SERVERS.values()
    ]
