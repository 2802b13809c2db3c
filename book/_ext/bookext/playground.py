"""``{playground}``: two set-ups under the same arrivals, request by request.

The page carries the experiments as data, the controls, and a drawing that stands there until the
script runs. The script is made from the modules in ``assets/playground``: browsers load no module
from a disk, so they are joined to one plain file that any page can load.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookext import still
from bookext.build import Piece, box, markup, paragraph
from bookext.domain import depends_on
from bookext.experiments import EXPERIMENTS, KINDS, described
from bookext.points import collect
from bookext.shelf import shelf_of
from bookext.whose import chapter

#: Only pages that have a playground load it.
SCRIPT = "playground.js"

#: The script's modules, in ``assets/playground``, each before those that import it.
MODULES = ("random", "queue", "address", "drawing", "main")

#: What the sliders offer: arrivals a second, milliseconds of waiting, of computing.
RATES = (1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400, 500)
HOLDS = (0, 1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000)
COMPUTES = (0, 1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 200, 500)


class Playground(SphinxDirective):
    """The drawing, the controls and the experiments; below it, where they were measured."""

    def run(self) -> list[nodes.Node]:
        """Raw HTML, because canvas and form fields have no docutils node."""
        shelf, stems = shelf_of(self.env), sorted({one.notebook for one in EXPERIMENTS} - {""})
        depends_on(self.env, *stems)
        points = collect(evidence for stem in stems if (evidence := shelf.stored(stem)))
        found = [described(one, shelf, points) for one in EXPERIMENTS]
        data = {
            "experiments": found,
            "colors": {kind: color for kind, (_, color) in KINDS.items()},
            "rates": RATES, "holds": HOLDS, "computes": COMPUTES,
        }  # fmt: skip
        packed = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
        text = (
            f'<div class="playground-stage">{still.shown(EXPERIMENTS, found)}'
            f'{_APP}<script type="application/json">{packed}</script></div>'
        )
        sources: list[Piece] = ["The experiments and their recordings: "]
        for stem in stems:
            sources += [chapter(self.env, stem), ", "]
        block = box(markup(text), classes=["playground"])
        block["ids"].append("playground")
        block += paragraph(*sources[:-1], ".", classes=["playground-sources"])
        return [block]


def _slider(name: str, label: str) -> str:
    return (
        f'<div class="pg-slider"><label for="pg-{name}">{label}</label>'
        f'<output for="pg-{name}" data-pg="{name}-said"></output>'
        f'<input type="range" id="pg-{name}" data-pg="{name}"></div>'
    )


def _kinds() -> str:
    return "".join(f'<option value="{kind}">{name}</option>' for kind, (name, _) in KINDS.items())


def _number(name: str, key: str, most: int, title: str) -> str:
    return (
        f'<label title="{title}">{name}<input type="number" data-pg="{name}-{key}" min="1" '
        f'max="{most}"></label>'
    )


def _lane(key: str, place: str) -> str:
    counts = "".join(
        f'<span><b data-pg="{name}-{key}">0</b> {label}</span>'
        for name, label in (("waiting", "in line"), ("busy", "in slots"), ("done", "answered"))
    )
    return (
        f'<section class="pg-lane" aria-label="{place} set-up">'
        f'<p class="pg-head"><b data-pg="lane-{key}"></b> <span data-pg="key-{key}"></span></p>'
        f'<p class="pg-counts">{counts}</p><canvas role="img" data-pg="canvas-{key}"></canvas>'
        "</section>"
    )


def _setup(key: str, place: str) -> str:
    return (
        f'<div class="pg-setup"><label>{place} server<select data-pg="kind-{key}">{_kinds()}'
        f"</select></label>{_number('slots', key, 64, 'of each process')}"
        f"{_number('cores', key, 16, 'processes, each with a core of its own')}</div>"
    )


def _row(name: str, label: str) -> str:
    cells = "".join(f'<td data-pg="{name}-{key}"></td>' for key in LANES)
    return f'<tr><th scope="row">{label}</th>{cells}</tr>'


LANES = {"a": "First", "b": "Second"}
_FACTS = "".join(
    _row(name, label)
    for name, label in (
        ("waited", "Have to wait"),
        ("p50", "Half answered within"),
        ("p99", "99 of 100 within"),
        ("limit", "Line grows from"),
    )
)
_MEASURED = "".join(
    _row(name, label)
    for name, label in (
        ("measured", "Half answered within"),
        ("model", "The model, same arrivals"),
    )
)
_APP = (
    '<div class="playground-app" hidden role="group" aria-label="Playground">'
    '<p class="pg-title">The same requests, two servers <span data-pg="load"></span></p>'
    f'<div class="pg-lanes">{"".join(_lane(*each) for each in LANES.items())}</div>'
    '<div class="pg-transport"><button type="button" data-pg="play"></button>'
    '<button type="button" data-pg="step">Step</button>'
    '<input type="range" data-pg="time" min="0" max="1000" aria-label="Moment">'
    '<span class="pg-small" data-pg="clock"></span></div>'
    '<div class="pg-presets" role="group" aria-label="Experiments of this book"></div>'
    '<p class="pg-story" data-pg="story"></p>'
    '<p class="pg-small">Grey waits, for a slot or in its slot for a core; coloured is served, or '
    "was. The band below each lane is its whole run.</p>"
    '<details data-pg="more"><summary>Change it</summary><div class="pg-setups">'
    f"{''.join(_setup(*each) for each in LANES.items())}</div>"
    '<div class="pg-sliders">'
    f"{_slider('rate', 'How often requests come')}"
    f"{_slider('hold', 'How long each waits for the database')}"
    f"{_slider('compute', 'How long each computes')}</div>"
    '<div class="pg-options"><button type="button" data-pg="restart">Restart</button>'
    '<label>Speed <select data-pg="speed"><option value="0.4">slow</option>'
    '<option value="1" selected>normal</option><option value="3">fast</option></select></label>'
    '<label><input type="checkbox" data-pg="recorded" aria-describedby="pg-why">'
    " Recorded</label></div>"
    '<p class="pg-small" id="pg-why" data-pg="why"></p>'
    '<table class="pg-facts"><thead><tr><th scope="col">The model, over '
    '<span data-pg="long"></span> requests</th><th scope="col" data-pg="name-a"></th>'
    f'<th scope="col" data-pg="name-b"></th></tr></thead><tbody>{_FACTS}</tbody>'
    '<tbody data-pg="seen"><tr><th scope="rowgroup" colspan="3" data-pg="trials"></th></tr>'
    f"{_MEASURED}</tbody></table></details>"
    '<p class="pg-hidden" role="status" data-pg="status"></p></div>'
)


def script(folder: Path) -> str:
    """The modules of a folder as one plain script, which runs from a disk as well."""
    code = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in MODULES)
    joined = re.sub(r"^export |^import [^;]*;\n", "", code, flags=re.MULTILINE)
    return f'"use strict";\n(() => {{\n{joined}}})();\n'


def publish(app: Sphinx) -> None:
    """Write the script where the pages find it; before them, since they name its digest."""
    for folder in (Path(app.confdir, each, "playground") for each in app.config.html_static_path):
        if folder.is_dir():
            static = Path(app.outdir, "_static")
            static.mkdir(parents=True, exist_ok=True)
            (static / SCRIPT).write_text(script(folder), encoding="utf-8")


def load_files(app: Sphinx, *event: Any) -> None:
    """Give a page with a playground its script, and other pages nothing."""
    doctree: nodes.document | None = event[-1]
    if doctree is not None and any(
        "playground" in node["classes"] for node in doctree.findall(nodes.container)
    ):
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> None:
    app.add_directive("playground", Playground)
    app.connect("builder-inited", publish)
    app.connect("html-page-context", load_files)
