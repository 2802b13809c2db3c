"""Private configuration files for nginx (the front) and Apache (the home of mod_wsgi)."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gatewaylab.servers.commands import Launch, find_program
from gatewaylab.servers.installed import (
    APACHE_DOLLAR,
    APACHE_SITE,
    NGINX_DOLLAR,
    NGINX_SITE,
    literal,
    quoted,
    substituted,
)

APACHE_MODULES = Path("/usr/lib/apache2/modules")


def nginx_main(folder: Path, http: str) -> str:
    """The main nginx.conf: what stands around a site, and nothing that changes its behaviour.

    Args:
        folder: where every file that nginx writes goes.
        http: what the ``http`` block holds besides.
    """
    # Only root may name a user; without the line root's workers would become `nobody`,
    # who can't open a socket in a private folder.
    user = "user root;\n" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    temporary = "\n".join(
        f"    {kind}_temp_path {quoted(folder / f'nginx-{kind}')};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
{user}worker_processes 1;
daemon off;
pid {quoted(folder / "nginx.pid")};
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{temporary}
{http}}}
"""


@dataclass(frozen=True)
class Secured:
    """nginx's second address, with TLS: a client knows it by `certificate`, as ``localhost``."""

    target: str
    certificate: Path

    @classmethod
    def within(cls, folder: Path) -> Secured:
        """The one of the run whose files are in `folder`."""
        return cls(f"unix:{folder}/t", folder / "certificate.pem")

    def certify(self) -> None:
        """Make the certificate and its key, good for a day and for nobody else.

        Raises:
            CalledProcessError: openssl could not; its output says why.
        """
        key = self.certificate.with_name("key.pem")
        subprocess.run(
            [
                find_program("openssl") or "openssl", "req", "-x509", "-nodes", "-days", "1",
                "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj",
                "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                "-keyout", str(key), "-out", str(self.certificate),
            ],
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip

    @property
    def lines(self) -> str:
        """What follows the first address in a line ``listen``; with HTTP/2 for who asks for it.

        The certificate is named from where nginx.conf lies: in a whole path ``$`` is a variable.
        """
        return (
            f"; listen {quoted(self.target)} ssl http2; "
            f"ssl_certificate {self.certificate.name}; ssl_certificate_key key.pem"
        )


def nginx_conf(
    *, host: str, port: int, upstream: str, folder: Path, secured: Secured | None = None
) -> str:
    """An nginx.conf that proxies everything on ``host:port`` to `upstream`.

    Args:
        secured: a second address. upstream: ``host:port`` or ``unix:/path``.
        folder: where every file that nginx writes goes.

    HTTP/1.1 to the upstream and the ``Upgrade`` map let WebSockets and live streams through;
    buffering and timeouts are nginx's defaults.
    """
    return nginx_main(
        folder,
        f"""\
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    upstream application {{ server {quoted(upstream)}; }}
    server {{
        listen {host}:{port}{secured.lines if secured else ""};
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
""",
    )


# What Debian's own main file includes from mime.types, as far as sites here serve files.
_TYPES = """\
    types {
        text/html html; text/css css; text/javascript js; image/svg+xml svg;
        application/json json; image/png png; font/woff2 woff2;
    }
"""


def nginx_files(
    *, host: str, port: int, upstream: str, folder: Path, site: str = "", text: str = "",
    public: Path = Path(), secured: Secured | None = None,
) -> dict[str, str]:  # fmt: skip
    """The files that nginx is started with, by name.

    Args:
        host, port, upstream, folder, secured: as for `nginx_conf`.
        site: name of the site file that is to be run; empty for `nginx_conf`.
        text: its text. public: the folder that stands for its ``root``.

    Raises:
        InputError: a place that must be replaced in the site is missing or there twice.
    """
    if not site:
        conf = nginx_conf(host=host, port=port, upstream=upstream, folder=folder, secured=secured)
        return {"nginx.conf": conf}
    listen = f"listen {host}:{port}{secured.lines if secured else ''}"
    by = {"listen": listen, "upstream": quoted(upstream), "root": literal(public)}
    include = f"    include {quoted(folder / 'site.conf')};\n"
    return {
        "nginx.conf": nginx_main(folder, f"{_TYPES}    {NGINX_DOLLAR}\n{include}"),
        "site.conf": substituted(text, NGINX_SITE, by, site),
    }


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
    httpd = f"""\
{_apache_main(launch)}\
WSGIDaemonProcess lab processes={launch.workers}{threads} \
home={literal(launch.project)} python-path={literal(python_path)}
WSGIScriptAlias / {literal(folder / "app.wsgi")} process-group=lab application-group=%{{GLOBAL}}
<Directory {literal(folder)}>
    Require all granted
</Directory>
"""
    return {"httpd.conf": httpd, "app.wsgi": f"from {module} import {name} as application\n"}


def apache_site_files(launch: Launch, name: str, text: str, public: Path) -> dict[str, str]:
    """httpd.conf around a virtual host of the repository, and that host's file.

    Args:
        name, text: the file's. public: the folder whose ``static`` stands for its static files.

    Raises:
        InputError: a place that must be replaced in it is missing or there twice.
    """
    module = launch.app.partition(":")[0]
    script = launch.project / f"{module.replace('.', '/')}.py"
    by = {
        "listen": f"{launch.host}:{launch.port}",
        "tls": "",
        "files": literal(f"{public}/static/"),
        "folder": literal(public),
        "python-home": literal(sys.prefix),
        "python-path": literal(launch.project),
        "script": literal(script),
        "scripts": literal(script.parent),
    }
    return {
        "httpd.conf": f"{_apache_main(launch)}Include {literal(launch.folder / 'site.conf')}\n",
        "site.conf": substituted(text, APACHE_SITE, by, name),
    }


def _apache_main(launch: Launch) -> str:
    folder = launch.folder
    # Debian builds unixd, log_config and others in; what is compiled in can't be loaded again.
    # All of these but headers and wsgi are what Debian enables by itself.
    modules = "\n".join(
        f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "alias", "headers", "mime", "wsgi")
    )
    return f"""\
{APACHE_DOLLAR}
ServerName {launch.host}
ServerRoot {literal(folder)}
DefaultRuntimeDir {literal(folder)}
PidFile {literal(folder / "httpd.pid")}
{modules}
TypesConfig /dev/null
AddType text/css .css
AddType text/javascript .js
AddType text/html .html
Listen {launch.host}:{launch.port}
ErrorLog /dev/stderr
LogLevel warn
KeepAlive On
KeepAliveTimeout 5
MaxKeepAliveRequests 0
WSGISocketPrefix {literal(folder / "w")}
"""


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
