"""The files of a web server, from those of ``deploy/``: only what a reader replaces is replaced.

What else is around them (``nginx.conf``, ``apache2.conf``) says what Debian's says.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gatewaylab.servers.commands import as_ordinary_user, find_program
from gatewaylab.servers.fronts import APACHE_MODULES, nginx_command, nginx_main
from tests import ROOT
from tests.deploy.setups import IMAGE, OWN, PROXY, SetUp

DEPLOY = ROOT / "deploy"
PROJECT = Path(__file__).parent / "project"


def places(
    one: SetUp, folder: Path, port: int, port_80: int, ports: Mapping[str, int]
) -> dict[str, str]:
    """What a reader replaces in the files, and by what it is replaced here."""
    entry = f"{PROXY}:{port}"
    return {
        "include myproject/tls.conf": f"include myproject/{'behind' if one.behind else 'tls'}.conf",
        "listen 443 ": f"listen {entry} ",
        "listen 80;": f"listen {PROXY}:{port if one.behind else port_80};",
        "10.0.0.0/8": PROXY,
        **{f"server {name}:8000": f"server {IMAGE}:{at}" for name, at in ports.items()},
        "unix:/run/myproject/": f"unix:{folder}/",
        "unix:/run/myproject-asgi/": f"unix:{folder}/",
        "/etc/letsencrypt/live/example.com/": f"{folder}/tls/",
        "/var/log/nginx/": f"{folder}/log/",
        "/var/log/apache2/": f"{folder}/log/",
        "/var/www/certbot": f"{folder}/site/certbot",
        "<VirtualHost *:443>": f"<VirtualHost {entry}>",
        "<VirtualHost *:80>": f"<VirtualHost {PROXY}:{port_80}>",
        "python-home=/srv/myproject/.venv": f"python-home={sys.prefix}",
        "python-path=/srv/myproject": f"python-path={PROJECT}",
        "/srv/myproject/myproject": f"{PROJECT}/myproject",
        "/srv/myproject/": f"{folder}/site/",
    }


def filled(text: str, by: Mapping[str, str]) -> str:
    """A file with its places replaced.

    Raises:
        AssertionError: it names a folder of which nothing here knows.
    """
    for place, value in by.items():
        text = text.replace(place, value)
    for line in text.splitlines():
        unknown = re.search(r"(?<![\w.])/(srv|run|etc|var|dev)/\S+", line)
        assert unknown is None or line.lstrip().startswith("#"), f"a place of its own: {line}"
    return text


Change = Callable[[str, str], str]
"""A file's path below ``deploy/`` and its text to the text that is run."""


def write_web_server(one: SetUp, folder: Path, by: Mapping[str, str], change: Change) -> list[str]:
    """Write every file of the web server; its command."""
    home = (DEPLOY / one.site).parent
    own = [*sorted((home / "myproject").glob("*.conf")), DEPLOY / one.site]
    own += [] if one.behind else [home / "port80.conf"]
    for file in own:
        name = file.relative_to(DEPLOY).as_posix()
        to = folder / file.relative_to(home)
        to.parent.mkdir(exist_ok=True)
        to.write_text(filled(change(name, file.read_text()), by))
    sites = [folder / file.name for file in own if file.parent == home]
    if one.apache:
        ports = [value for place, value in by.items() if place.startswith("<VirtualHost")]
        (folder / "apache2.conf").write_text(apache_main(folder, ports, sites))
        program = [*as_ordinary_user(), find_program("apache2") or "apache2"]
        return [*program, "-d", str(folder), "-f", "apache2.conf", "-DFOREGROUND"]
    http = "    include /etc/nginx/mime.types;\n    sendfile on;\n    gzip on;\n"
    http += f"    proxy_bind {OWN};\n" if one.images else neighbour(one, by)
    http += "".join(f"    include {site};\n" for site in sites)
    shipped = f"worker_connections {1024 if one.images else 768};"  # by the image, by Debian
    main = nginx_main(folder, http).replace("worker_connections 4096;", shipped)
    assert shipped in main
    (folder / "nginx.conf").write_text(main)
    for command in edits(one, change):
        subprocess.run(["sed", *command, folder / "nginx.conf"], check=True)
    return nginx_command(find_program("nginx") or "nginx", folder)


def neighbour(one: SetUp, by: Mapping[str, str]) -> str:
    """Another site of the machine: it comes first, so what names no site is meant for it."""
    entry = by["listen 80;"] if one.behind else f"{by['listen 443 ']}ssl http2;"
    return f"    server {{ {entry} server_name neighbour; ssl_reject_handshake on; return 410; }}\n"


EDITORS = {True: "docker/Dockerfile.asgi", False: "nginx/myproject/http.conf"}
"""By whether there are images, the file that says how ``nginx.conf`` is changed."""


def edits(one: SetUp, change: Change) -> Iterator[list[str]]:
    """The words of each `sed` that changes nginx.conf: in a comment, or where the image is made."""
    name = EDITORS[bool(one.images)]
    text = change(name, (DEPLOY / name).read_text())
    for said in re.findall(r"\bsed (-i .*) /etc/nginx/nginx\.conf\b", text):
        yield shlex.split(said)


def apache_main(folder: Path, virtual_hosts: list[str], sites: list[Path]) -> str:
    """What Debian's apache2.conf, ports.conf and enabled modules say, and nothing more."""
    modules = ("mpm_event", "authz_core", "alias", "mime", "filter", "deflate", "reqtimeout",
               "setenvif", "headers", "socache_shmcb", "ssl", "http2", "wsgi")  # fmt: skip
    lines = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in modules]
    lines += [f"Listen {one[len('<VirtualHost ') : -1]}" for one in virtual_hosts]
    secure = f"SSLEngine on\nSSLCertificateFile {folder}/tls/fullchain.pem\n"
    secure += f"SSLCertificateKeyFile {folder}/tls/privkey.pem\n"
    lines += [  # another site of the machine, as in `neighbour`
        f"{one}\nServerName neighbour\n{tls}Redirect 410 /\n</VirtualHost>"
        for one, tls in zip(virtual_hosts, (secure, ""), strict=True)
    ]
    lines += [f"Include {site}" for site in sites]
    return f"""\
ServerName localhost
ServerRoot "{folder}"
DefaultRuntimeDir "{folder}"
PidFile "{folder}/apache2.pid"
ErrorLog "{folder}/log/error.log"
WSGISocketPrefix {folder}/w
{lines.pop(0)}
# Two children and no third, so that nothing is started while a test looks what has survived.
ServerLimit 2
MaxRequestWorkers 50
{chr(10).join(lines)}
<Directory />
    Require all denied
</Directory>
TypesConfig /etc/mime.types
AddOutputFilterByType DEFLATE text/html text/plain
"""


def unchanged(_name: str, text: str) -> str:
    """The change that is none."""
    return text
