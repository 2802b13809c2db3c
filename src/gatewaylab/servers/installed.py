"""Configurations as a user installs them, made to run in a run's private folder.

What is in ``deploy/`` names the places of a production machine: a certificate, a socket below
``/run``, files below ``/srv``. Each kind of file has a short list of such places here. Each of them
must be one in a file, said once or more, and is replaced; all else is run as it is written.
A load is plain HTTP, so the file that says how TLS ends (``tls.conf``) is one of these places.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gatewaylab.errors import InputError

# nginx reads variables in most values; `geo` is one of the few places where it does not.
NGINX_DOLLAR = 'geo $dollar { default "$"; }'
APACHE_DOLLAR = "Define dollar $"

PUBLIC = Path("deploy/public")
"""What stands for the folder of static files, by its path from the project's folder."""


@dataclass(frozen=True)
class Place:
    """One thing that differs between a production machine and a run here.

    Attributes:
        what: its name in words, for the error that says it is missing.
        pattern: where it is; the part to replace is between the two groups ``before`` and
            ``after``.
    """

    what: str
    pattern: str

    def replaced(self, text: str, by: str, file: str) -> str:
        """The text with the place replaced.

        Raises:
            InputError: it is not there, or says two things.
        """
        matches = list(re.finditer(self.pattern, text, re.MULTILINE))
        found = {text[one.end("before") : one.start("after")] for one in matches}
        if len(found) != 1:
            raise InputError(
                f"{file} must have exactly one {self.what} for the harness to replace, "
                f"and has {len(found)}"
            )
        for one in reversed(matches):
            text = f"{text[: one.end('before')]}{by}{text[one.start('after') :]}"
        return text


NGINX_SITE = {
    "listen": Place(
        "line `listen 80;` or `include myproject/tls.conf;`",
        r"^(?P<before> *)(?:listen 80|include myproject/tls\.conf)(?P<after>;)",
    ),
    "upstream": Place(
        "upstream (`server unix:/…`)", r"^(?P<before> *server )unix:/[^\s;]+(?P<after>[ ;])"
    ),
    "root": Place("line `root /srv/…;`", r"^(?P<before> *root )/srv/[^\s;]+(?P<after>;)"),
}

APACHE_SITE = {
    "listen": Place(
        "line `<VirtualHost *:443>`", r"^(?P<before> *<VirtualHost )\*:443(?P<after>>)"
    ),
    "tls": Place(
        "line `Include myproject/tls.conf`",
        r"^(?P<before> *)Include myproject/tls\.conf(?P<after>)$",
    ),
    "files": Place(
        "line `Alias /static/ /srv/…/static/`",
        r"^(?P<before> *Alias /static/ )/srv/\S+/static/(?P<after>)$",
    ),
    "folder": Place(
        "block `<Directory /srv/…/public>`",
        r"^(?P<before> *<Directory )/srv/[^\s>]+/public(?P<after>>)",
    ),
    "python-home": Place("`python-home=/srv/…`", r"(?P<before> python-home=)/srv/\S+(?P<after>)"),
    "python-path": Place("`python-path=/srv/…`", r"(?P<before> python-path=)/srv/\S+(?P<after>)"),
    "script": Place(
        "`WSGIScriptAlias / /srv/…/wsgi.py`",
        r"^(?P<before> *WSGIScriptAlias / )/srv/\S+(?P<after>)",
    ),
    "scripts": Place(
        "block `<Directory /srv/…>` with `<Files wsgi.py>`",
        r"^(?P<before> *<Directory )/srv/[^\s>]+(?P<after>>\s*<Files wsgi\.py>)",
    ),
}

COMMAND = {
    "host": Place("address `0.0.0.0`", r"(?P<before>\b)0\.0\.0\.0(?P<after>\b)"),
    "port": Place("port `8000`", r"(?P<before>\b)8000(?P<after>\b)"),
    "app": Place("application `myproject.…:…`", r"^(?P<before>)myproject\.\w+:\w+(?P<after>)$"),
}


def quoted(word: object) -> str:
    """One word of nginx's or Apache's configuration: in quotes if a space or the like is in it."""
    text = str(word)
    if re.fullmatch(r"[\w./:@%+*~-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def literal(word: object) -> str:
    """The same where the program reads variables: each ``$`` is one named ``dollar``.

    Neither program has an escape for it. Every file with such a word needs `NGINX_DOLLAR` in its
    ``http`` block, or `APACHE_DOLLAR` before.
    """
    return quoted(word).replace("$", "${dollar}")


def substituted(text: str, places: Mapping[str, Place], by: Mapping[str, str], file: str) -> str:
    """`text` with every one of `places` replaced.

    Args:
        by: what goes into each place, by the names of `places`; `quoted` or `literal`, where that
            is a path.
        file: its name, for errors.

    Raises:
        InputError: a place is missing or there twice.
    """
    for name, place in places.items():
        text = place.replaced(text, by[name], file)
    return text


def command(words: Sequence[str], *, host: str, port: int, app: str) -> list[str]:
    """A command line as a container is started with it, for one address and application here.

    Raises:
        InputError: its address, port or application is missing or there twice.
    """
    by = {"host": host, "port": str(port), "app": app}
    return substituted("\n".join(words), COMMAND, by, f"the command {' '.join(words)!r}").split(
        "\n"
    )


_INCLUDED = re.compile(r"^ *include (myproject/(?!tls\b)\w+\.conf);\n", re.MULTILINE)


def read(project: Path, file: str) -> str:
    """The text of a configuration file of the repository, and of what it includes from beside it.

    Raises:
        InputError: it is not there, or not inside the project.
    """
    path = (project / file).resolve()
    if not path.is_relative_to(project) or not path.is_file():
        raise InputError(f"no site file {file!r} in {project}; give its path from there")
    beside = Path(file).parent
    return _INCLUDED.sub(
        lambda found: read(project, str(beside / found[1])), path.read_text(encoding="utf-8")
    )
