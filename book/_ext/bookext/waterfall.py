"""``{recorded-waterfall}``: an experiment of the playground, each request as it was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.build import markup, paragraph, span
from bookext.domain import depends_on
from bookext.experiments import EXPERIMENTS, KINDS, Experiment, recorded
from bookext.shelf import shelf_of
from bookext.still import Floats, panel
from gatewaylab.records.results import Trial
from gatewaylab.show.waterfall import SHORTEST_WAIT

LOGGER = logging.getLogger(__name__)

NO_RECORDING = "No trial of this experiment was recorded whole"


class RecordedWaterfall(SphinxDirective):
    """Both set-ups of the experiment that the argument names, one below the other."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The drawing; without a recording, that it is missing."""
        name = self.arguments[0]
        one = next((each for each in EXPERIMENTS if each.name == name), None)
        if one is None or not one.notebook:
            LOGGER.warning("no recorded experiment %r", name, location=self.get_location())
            return []
        depends_on(self.env, one.notebook)
        trials = recorded(one, shelf_of(self.env))
        if not trials:
            return [paragraph(span(NO_RECORDING, "measured-missing"), ".")]
        return [markup(draw(one, trials))]


def draw(one: Experiment, trials: Sequence[Trial]) -> str:
    """The figure as HTML: what is said of each set-up is counted in its trial."""
    moments = [_moments(trial) for trial in trials]
    last = max(float(ends.max()) for *_, ends in moments)
    panels, told = [], []
    for lane, (plan, begun, ends) in zip(one.lanes, moments, strict=True):
        title = f"{lane.label[:1].upper()}{lane.label[1:]}"
        said = f"longest wait {_time((begun - plan).max())}, all done after {_time(ends.max())}"
        told.append(f"{title}: {said}.")
        svg = panel(
            plan, begun, ends, seconds=last, color=KINDS[lane.kind][1], shortest_wait=SHORTEST_WAIT
        )
        panels.append(f"<p><b>{escape(title)}</b> {said}</p>{svg}")
    asked = f"The same {len(moments[0][0])} requests twice"
    return (
        f'<figure class="drawing recorded" role="group" aria-label="{asked}"><div role="img" '
        f'aria-label="{asked}, over time. {escape(" ".join(told))}">{"".join(panels)}'
        f'<p class="recorded-time"><span>0</span><span>{_time(last)}</span></p></div>'
        f"<figcaption>{asked}, each as it was recorded. Coloured: it holds a slot. Grey: it waits "
        "for one.</figcaption></figure>"
    )


def _moments(trial: Trial) -> tuple[Floats, Floats, Floats]:
    """Of each request, in seconds since the first was due: due, taken up, done."""
    samples = trial.samples
    zero = samples.scheduled_at.min()
    begun = np.maximum(samples.started_at, samples.scheduled_at)
    return samples.scheduled_at - zero, begun - zero, samples.started_at + samples.service - zero


def _time(seconds: float) -> str:
    """A duration as "2.21 s" or "38 ms"."""
    value, unit = (seconds, "s") if seconds >= 0.5 else (1000 * seconds, "ms")
    return f"{wording.number(float(value))}\u00a0{unit}"


def setup(app: Sphinx) -> None:
    app.add_directive("recorded-waterfall", RecordedWaterfall)
