"""``{slot-calculator}``: how many slots a load needs, as a table and as a small form.

The table is computed here, by :mod:`gatewaylab.model.queueing`, and is all that a reader without
scripts sees. The form appears when ``slots.js`` runs; it computes the same thing for other
numbers. What the table says stands in its cells as data, too, so that a test can hold the two
against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.loads import SHARE, Load, duration, share
from gatewaylab.model.queueing import slots_needed

#: Hold times in seconds and arrival rates per second of the table.
HOLDS = (0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
RATES = (1, 10, 100)

#: Scripts by the part of a page that needs them.
SCRIPT = "slots.js"
SCRIPTS = {"slot-calculator": SCRIPT, "chooser": "chooser.js"}


class SlotCalculator(SphinxDirective):
    """The table, and the form above it."""

    def run(self) -> list[nodes.Node]:
        """Raw HTML: form fields have no docutils node."""
        form = f"{_FORM}{''.join(_table())}"
        return [nodes.raw("", form, format="html", classes=["slot-calculator"])]


def _table() -> Iterator[str]:
    yield (
        '<div class="pst-scrollable-table-container"><table class="table slots-table"><caption>'
        f"Slots needed so that at most {100 * SHARE:g}\u00a0% of the requests wait; in "
        "parentheses, how many are busy on average</caption><thead><tr>"
        '<th scope="col">A request holds its slot, on average, for</th>'
    )
    yield from (f'<th scope="col">{rate} a second</th>' for rate in RATES)
    yield "</tr></thead><tbody>"
    for hold in HOLDS:
        yield f'<tr><th scope="row">{duration(1000 * hold)}</th>'
        for rate in RATES:
            busy, slots = rate * hold, slots_needed(rate * hold, SHARE)
            yield (
                f'<td data-rate="{rate}" data-hold="{hold:g}" data-slots="{slots}">'
                f"<strong>{slots}</strong> ({wording.number(float(busy))})</td>"
            )
        yield "</tr>"
    yield "</tbody></table></div>"


def _field(name: str, label: str, unit: str, most: str, step: str = "any") -> str:
    value = getattr(_EXAMPLE, name)
    return (
        f'<label for="slots-{name}">{label}</label><span class="slots-input">'
        f'<input id="slots-{name}" name="{name}" type="number" inputmode="decimal" '
        f'min="{0 if step == "any" else 1}" max="{most}" step="{step}" value="{value}" required> '
        f"{unit}</span>"
    )


def _answer(name: str, label: str) -> str:
    return f'<dt>{label}</dt><dd><output data-slots-output="{name}">–</output></dd>'


_EXAMPLE = Load()
_SHARES = "".join(
    f'<option value="{one:g}"{" selected" if one == SHARE else ""}>{share(one)}</option>'
    for one in (0.1, SHARE, 0.01)
)
_FIELDS = (
    _field("rate", "Requests at the busiest time", "a second", "100000"),
    _field("hold", "one holds a slot, on average, for", "ms", "3600000"),
    _field("slowrate", "Slow requests, in addition", "a second", "100000"),
    _field("slowhold", "one holds a slot, on average, for", "ms", "3600000"),
    _field("streams", "Streams open at once, on average", "", "100000"),
    _field("compute", "A request computes, on average, for", "ms", "3600000"),
    _field("cores", "Cores", "", "1000", step="1"),
    f'<label for="slots-share">Requests that may wait</label><span class="slots-input">'
    f'<select id="slots-share" name="share">{_SHARES}</select></span>',
)
_OUTPUTS = (
    _answer("busy", "Slots busy on average"),
    _answer("computing", "Cores that compute, on average"),
    _answer("processes", "Slots needed, as processes with one slot"),
    _answer("threads", "as threads"),
    _answer("loop", "as coroutines"),
)
_FORM = (
    '<form class="slots-form" hidden aria-label="How many slots your load needs">'
    f'<div class="slots-fields">{"".join(_FIELDS)}</div>'
    f'<dl class="slots-answers">{"".join(_OUTPUTS)}</dl></form>'
)


def load_files(app: Sphinx, *event: Any) -> None:
    """Give a page the scripts that its parts need, and other pages nothing."""
    doctree: nodes.document | None = event[-1]
    if doctree is None:
        return
    classes = {name for node in doctree.findall(nodes.Element) for name in node["classes"]}
    for name, script in SCRIPTS.items():
        if name in classes:
            app.add_js_file(script, loading_method="defer")


def setup(app: Sphinx) -> None:
    app.add_directive("slot-calculator", SlotCalculator)
    app.connect("html-page-context", load_files)
