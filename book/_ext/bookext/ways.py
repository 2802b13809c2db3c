"""The drawings of *Production*: ``{request-way}``, from ``book/production.toml``.

They are made of HTML, so that a phone shows the same drawing in another arrangement. What a
setting is set to is read from the files of ``deploy/`` when the page is rendered.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gatewaylab.errors import InputError
from gatewaylab.load.samples import Frozen
from gatewaylab.servers.specs import SERVERS

#: Only a page with such a drawing loads it.
SHEET = "ways.css"


class Setting(Frozen):
    """A limit, and the files below ``deploy/`` that may set it.

    Attributes:
        files: a pattern of paths. unit: what follows a bare number in these files.
        default: what holds where no file sets it, by the `manual`; None where one must set it.
    """

    setting: str
    files: str
    unit: str = ""
    default: str | None = None
    manual: str = ""


class Limit(Setting):
    """A limit on the way of a request, and what happens when it is over.

    Attributes:
        stops: what is over the limit. by: who answers then. answer: the status, or "closed".
    """

    stops: str
    by: str
    answer: str


class Stop(Frozen):
    """A program on the way, and the limits behind its door; `server` gives its colour."""

    name: str
    server: str | None = None
    limit: tuple[Limit, ...] = ()


class Drawings(Frozen):
    """All of the file."""

    stop: tuple[Stop, ...]


def read(path: Path) -> Drawings:
    """The data of the drawings."""
    return Drawings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def shipped(deploy: Path, one: Setting) -> str | None:
    """What the files set it to, with its unit; None if none of them sets it.

    Raises:
        InputError: they differ, or it has neither a value nor a default.
    """
    line = re.compile(rf"^(?:[^#\n]*\s)?{re.escape(one.setting)}[ =:]+([^;,\s\"]+)", re.MULTILINE)
    texts = (file.read_text(encoding="utf-8") for file in sorted(deploy.glob(one.files)))
    found = {value for text in texts for value in line.findall(text)}
    if len(found) > 1:
        raise InputError(f"{one.files} set {one.setting} to {', '.join(sorted(found))}: name one")
    if not found and one.default is None:
        raise InputError(f"no file of {deploy}/{one.files} sets {one.setting}; give its default")
    return f"{found.pop()} {one.unit}".strip() if found else None


def valued(deploy: Path, one: Setting) -> str:
    """A setting with its value as HTML; one that no file sets links to the manual's default."""
    value = shipped(deploy, one)
    name = escape(one.setting).replace("_", "_<wbr>")
    manual = f' <small><a href="{escape(one.manual)}">by default</a></small>'
    said = escape(value or one.default or "").replace(" ", "\u00a0")
    return f"<code>{name}</code> <strong>{said}</strong>{'' if value else manual}"


def request_way(stops: tuple[Stop, ...], deploy: Path) -> str:
    """The request goes down on the left, and the answer of each limit up on the right."""
    rows = "".join(row for stop in stops for row in _stop(stop, deploy))
    told = (
        f"The way of a request down through {', '.join(stop.name for stop in stops)}. On the way "
        "stand the limits; from each, an answer goes back up to the browser."
    )
    return (
        f'<figure class="way" role="group" aria-label="{escape(told)}"><ol>{rows}'
        '<li class="way-end"><span class="way-answer way-2">200</span></li></ol></figure>'
    )


def _stop(stop: Stop, deploy: Path) -> Iterator[str]:
    color = f' style="--by:{SERVERS[stop.server].color}"' if stop.server else ""
    yield f'<li class="way-stop"{color}><b>{escape(stop.name)}</b></li>'
    for one in stop.limit:
        kind = "closed" if one.answer == "closed" else one.answer[0]
        yield (
            f'<li class="way-limit"><p class="way-name">{valued(deploy, one)}</p>'
            f'<p class="way-stops">{escape(one.stops)}</p>'
            f'<p class="way-back"><small>{escape(one.by)}</small>'
            f'<span class="way-answer way-{kind}">{escape(one.answer)}</span></p></li>'
        )


class _Drawing(SphinxDirective):
    """One of the drawings, as raw HTML."""

    def run(self) -> list[nodes.Node]:
        """The drawing; the page is rendered again when its data or a file of deploy/ changes."""
        path = Path(self.env.srcdir, self.config.bookext_drawings)
        deploy = Path(self.env.srcdir, "deploy")
        for file in (path, *(file for file in deploy.rglob("*") if file.is_file())):
            self.env.note_dependency(str(file))
        return [nodes.raw("", self.draw(read(path), deploy), format="html", classes=["way"])]

    def draw(self, data: Drawings, deploy: Path) -> str:
        raise NotImplementedError


class RequestWay(_Drawing):
    """Every limit that a request meets, and who answers when it is over."""

    def draw(self, data: Drawings, deploy: Path) -> str:
        """See :func:`request_way`."""
        return request_way(data.stop, deploy)


def load_sheet(app: Sphinx, *event: Any) -> None:
    """Give a page with a drawing its style sheet, and other pages nothing."""
    doctree: nodes.document | None = event[-1]
    if doctree and any("way" in node["classes"] for node in doctree.findall(nodes.raw)):
        app.add_css_file(SHEET)


def setup(app: Sphinx) -> None:
    app.add_config_value("bookext_drawings", "book/production.toml", "env", types=(str,))
    app.add_directive("request-way", RequestWay)
    app.connect("html-page-context", load_sheet)
