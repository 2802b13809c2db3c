"""Private configuration files for nginx (the front) and Apache (the home of mod_wsgi)."""

from __future__ import annotations

import os
import re
import site
from pathlib import Path

from gatewaylab._commands import Launch, find_program

APACHE_MODULES = Path("/usr/lib/apache2/modules")


def nginx_conf(*, host: str, port: int, upstream: str, folder: Path) -> str:
    """An nginx.conf that proxies everything on ``host:port`` to `upstream`.

    Args:
        upstream: ``host:port`` or ``unix:/path``.
        folder: where every file that nginx writes goes.

    HTTP/1.1 to the upstream and the ``Upgrade`` map let WebSockets and live streams through;
    buffering and timeouts are nginx's defaults.
    """
    # Only root may name a user; without the line root's workers would become `nobody`,
    # who can't open a socket in a private folder.
    user = "user root;\n" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    temporary = "\n".join(
        f"    {kind}_temp_path {folder}/nginx-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
{user}worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{temporary}
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    upstream application {{ server {upstream}; }}
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


def nginx_command(program: str, folder: Path) -> list[str]:
    """nginx in the foreground, told not to touch the log path it was compiled with."""
    return [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def apache_files(launch: Launch) -> dict[str, str]:
    """httpd.conf and the script that mod_wsgi's daemon process imports, by file name.

    Event MPM, daemon mode; everything Apache writes goes to the run's own folder.
    """
    module, _, name = launch.app.partition(":")
    threads = f" threads={launch.slots}" if launch.slots else ""
    python_path = ":".join([str(launch.project), *site.getsitepackages()])
    folder = launch.folder
    # Debian builds unixd, log_config and others in; what is compiled in can't be loaded again.
    modules = "\n".join(
        f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "wsgi")
    )
    httpd = f"""\
ServerName {launch.host}
ServerRoot "{folder}"
DefaultRuntimeDir "{folder}"
PidFile "{folder}/httpd.pid"
{modules}
Listen {launch.host}:{launch.port}
ErrorLog /dev/stderr
LogLevel warn
KeepAlive On
KeepAliveTimeout 5
MaxKeepAliveRequests 0
WSGISocketPrefix {folder}/w
WSGIDaemonProcess lab processes={launch.workers}{threads} \
home={launch.project} python-path={python_path}
WSGIScriptAlias / {folder}/app.wsgi process-group=lab application-group=%{{GLOBAL}}
<Directory "{folder}">
    Require all granted
</Directory>
"""
    return {"httpd.conf": httpd, "app.wsgi": f"from {module} import {name} as application\n"}


def mod_wsgi_python() -> tuple[int, int] | None:
    """The Python version that the distribution's mod_wsgi was built for, or None without one."""
    module = APACHE_MODULES / "mod_wsgi.so"
    if not module.exists():
        return None
    match = re.search(rb"libpython(\d)\.(\d+)", module.read_bytes())
    return (int(match[1]), int(match[2])) if match else None


def mod_wsgi_version() -> str | None:
    """mod_wsgi's own version number, read from the module's text; None without one."""
    module = APACHE_MODULES / "mod_wsgi.so"
    if not module.exists() or find_program("apache2") is None:
        return None
    match = re.search(rb"\x00([4-9]\.\d+\.\d+)\x00", module.read_bytes())
    return match[1].decode() if match else None
