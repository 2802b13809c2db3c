"""The drawings of *Production*, from ``book/production.toml``.

``{request-way}``: the limits on the way of a request. ``{deployment-lanes}``, ``{upload-lanes}``:
what happens over time to requests beside a restart, and to an upload.

They are made of HTML, so that a phone shows the same drawing in another arrangement. What a
setting is set to is read from the files of ``deploy/`` when the page is rendered.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import ClassVar, Literal

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookext.build import Piece, markup, paragraph
from bookext.domain import link
from bookext.roles import anchor, badge
from bookext.standings import consult
from gatewaylab.errors import InputError
from gatewaylab.load.samples import Frozen
from gatewaylab.servers.specs import SERVERS


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

    stops: str = ""
    by: str = ""
    answer: str = ""


class Stop(Frozen):
    """A program on the way, and the limits behind its door; `server` gives its colour."""

    name: str
    server: str | None = None
    limit: tuple[Limit, ...] = ()


Kind = Literal["run", "hold", "wait", "fail", "grow", "file"]


class Lane(Frozen):
    """What happens to one thing over time.

    Attributes:
        claims: what it rests on. at: where a line stands, and `event`: its words.
        rows: marks of a kind, with their begin and end in hundredths of the time, and words.
    """

    name: str
    says: str
    server: str | None = None
    claims: tuple[str, ...] = ()
    at: float
    event: str = ""
    limit: tuple[Limit, ...] = ()
    rows: tuple[tuple[tuple[Kind, float, float] | tuple[Kind, float, float, str], ...], ...]


class Drawings(Frozen):
    """All of the file."""

    stop: tuple[Stop, ...]
    deployment: tuple[Lane, ...]
    upload: tuple[Lane, ...]


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
        f'<figure class="way drawing" role="group" aria-label="{escape(told)}"><ol>{rows}'
        '<li class="way-end"><span class="way-answer way-2">200</span></li></ol></figure>'
    )


def _stop(stop: Stop, deploy: Path) -> Iterator[str]:
    yield f'<li class="way-stop"{_color(stop.server)}><b>{escape(stop.name)}</b></li>'
    for one in stop.limit:
        yield (
            f'<li class="way-limit"><p class="way-name">{valued(deploy, one)}</p>'
            f'<p class="way-stops">{escape(one.stops)}</p>'
            f'<p class="way-back"><small>{escape(one.by)}</small>'
            f"{_answer(one)}</p></li>"
        )


def _answer(one: Limit) -> str:
    if not one.answer:
        return ""
    kind = one.answer[0] if one.answer.isdecimal() else "closed"
    return f'<span class="way-answer way-{kind}">{escape(one.answer)}</span>'


def _color(server: str | None) -> str:
    return f' style="--by:{SERVERS[server].color}"' if server else ""


def track(lane: Lane) -> str:
    """A lane's marks, row by row; hidden from those who hear the lane's words instead."""
    rows = []
    for row in lane.rows:
        marks = []
        for kind, begin, end, *words in row:
            place = f"left:{begin:g}%" + (f";width:{end - begin:g}%" if end > begin else "")
            said = f"<b>{escape(words[0])}</b>" if words else ""
            marks.append(f'<i class="mark-{kind}" style="{place}">{said}</i>')
        rows.append(f'<div class="track-row">{"".join(marks)}</div>')
    event = f'<div class="track-event">{escape(lane.event)}</div>' if lane.event else ""
    return (
        f'<div class="track" style="--at:{lane.at:g}%" aria-hidden="true">'
        f"{event}{''.join(rows)}</div>"
    )


def code(text: str) -> list[Piece]:
    """Text with code between backticks."""
    parts = text.split("`")
    return [nodes.literal(p, p) if k % 2 else p for k, p in enumerate(parts) if p]


class _Drawing(SphinxDirective):
    """One of the drawings."""

    def run(self) -> list[nodes.Node]:
        """The drawing; the page is rendered again when its data or a file of deploy/ changes."""
        path = Path(self.env.srcdir, self.config.bookext_drawings)
        deploy = Path(self.env.srcdir, "deploy")
        for file in (path, *(file for file in deploy.rglob("*") if file.is_file())):
            self.env.note_dependency(str(file))
        return self.draw(read(path), deploy)

    def draw(self, data: Drawings, deploy: Path) -> list[nodes.Node]:
        raise NotImplementedError


class RequestWay(_Drawing):
    """Every limit that a request meets, and who answers when it is over."""

    def draw(self, data: Drawings, deploy: Path) -> list[nodes.Node]:
        """See :func:`request_way`."""
        return [markup(request_way(data.stop, deploy))]


class _Lanes(_Drawing):
    """Lanes over time, each beside its words, the claims it rests on and its limits."""

    told: ClassVar[str]

    def lanes(self, data: Drawings) -> tuple[Lane, ...]:
        raise NotImplementedError

    def draw(self, data: Drawings, deploy: Path) -> list[nodes.Node]:
        """A figure with a lane for each."""
        lanes = self.lanes(data)
        names = "; ".join(f"{lane.name}: {lane.says}" for lane in lanes).replace("`", "")
        told = escape(f"{self.told} {names}")
        parts: list[nodes.Node] = [
            markup(f'<figure class="tracks drawing" role="group" aria-label="{told}">')
        ]
        for lane in lanes:
            parts.append(markup(f'<div class="lane"{_color(lane.server)}><div class="lane-head">'))
            parts.append(paragraph(*code(lane.name), classes=["lane-name"]))
            parts.append(paragraph(*code(lane.says), *self._claims(lane)))
            parts.append(markup(f"{_limits(lane, deploy)}</div>{track(lane)}</div>"))
        return [*parts, markup("</figure>")]

    def _claims(self, lane: Lane) -> Iterator[Piece]:
        for name in lane.claims:
            record = consult(self.env, name, self.get_location())
            if record is not None:
                yield " "
                yield link(badge(record), anchor(record.id))


def _limits(lane: Lane, deploy: Path) -> str:
    return "".join(
        f'<p class="lane-limit">{valued(deploy, one)} {_answer(one)}</p>' for one in lane.limit
    )


class DeploymentLanes(_Lanes):
    """What becomes of requests beside a reload or a restart."""

    told = "Time runs to the right, and a signal comes after a quarter of it."

    def lanes(self, data: Drawings) -> tuple[Lane, ...]:
        """The deployments."""
        return data.deployment


class UploadLanes(_Lanes):
    """Where an upload is at which time, and who is held meanwhile."""

    told = "Time runs to the right; a wedge is a file that is being written."

    def lanes(self, data: Drawings) -> tuple[Lane, ...]:
        """The stations of the upload."""
        return data.upload


def setup(app: Sphinx) -> None:
    app.add_config_value("bookext_drawings", "book/production.toml", "env", types=(str,))
    app.add_directive("request-way", RequestWay)
    app.add_directive("deployment-lanes", DeploymentLanes)
    app.add_directive("upload-lanes", UploadLanes)
