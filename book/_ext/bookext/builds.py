"""``{builds-record}``: how every claim fared from build to build, a small drawing for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from docutils import nodes
from sphinx.application import Sphinx

from bookext import wording
from bookext.build import Piece, box, markup, paragraph, span, table
from bookext.cards import ClaimDirective
from bookext.domain import depends_on_all, link
from bookext.roles import anchor
from bookext.shelf import shelf_of
from bookext.sparkline import SHAPES, last, path, sparkline
from gatewaylab.publish.builds import BuildPoint, BuildsRecord

#: What stands in place of lines when there are fewer than two builds.
NONE_YET = (
    "There is no earlier build to compare with yet. Each build that the workflow publish makes "
    "is kept, every Monday and for every version; the lines begin with the second of them."
)


class Builds(ClaimDirective):
    """A line for each claim, what its marks mean, and what changed between the builds."""

    def run(self) -> list[nodes.Node]:
        """The lines, or a sentence that says when there will be some."""
        depends_on_all(self.env)
        shelf = shelf_of(self.env)
        for file in shelf.compared():
            self.env.note_dependency(str(file))
        record = shelf.builds()
        found: list[nodes.Node] = []
        if len(record.builds) < 2:
            found.append(paragraph(NONE_YET))
        else:
            begun, ended = record.builds[0].at, record.builds[-1].at
            count = wording.many(len(record.builds), "build")
            found.append(paragraph(f"{count}, {wording.day(begun)} to {wording.day(ended)}."))
            found += [_key(), *_changes(record)]
            declared = shelf.declarations()
            for name, points in record.claims.items():
                title = self.prose(declared[name].title) if name in declared else []
                found.append(_line(name, title, points, record))
        if record.unreadable:
            names = ", ".join(record.unreadable)
            found.append(paragraph(f"Left out, because this edition cannot read them: {names}."))
        return found


def _line(
    name: str, title: Sequence[nodes.Node], points: Sequence[BuildPoint], record: BuildsRecord
) -> nodes.container:
    label = span(name, "claim-id")
    head: list[Piece] = [link(label, anchor(name)), " ", *title] if title else [label]
    count = Counter(point.verdict for point in points)
    words = ", ".join(f"{n} {verdict}" for verdict, n in count.most_common())
    drawing = sparkline(name, points, record.builds)
    return box(
        paragraph(*head, classes=["fared-head"]),
        markup(drawing),
        paragraph(f"{words}; {last(points)}", classes=["fared-words"]),
        classes=["fared"],
    )


def _key() -> nodes.raw:
    """What the marks mean."""
    drawn = {verdict: path(verdict, f"M0 0{shape}") for verdict, shape in SHAPES.items()}
    drawn["what the rule asks for"] = path("rule", "M-5 0h10")
    drawn["versions changed"] = path("tick", "M0-4v8")
    items = (
        f'<span><svg aria-hidden="true" class="spark" width="10" height="10" '
        f'viewBox="-5 -5 10 10">{mark}</svg> {words}</span>'
        for words, mark in drawn.items()
    )
    return markup(f'<p class="fared-key">{"".join(items)}</p>')


def _changes(record: BuildsRecord) -> list[nodes.Node]:
    """On a fold, the versions that changed, by build."""
    rows = [
        (wording.day(build.at), ", ".join(build.changes) or "nothing that is recorded")
        for build in record.builds[:0:-1]
    ]
    opened = '<details class="fared-changes"><summary>What changed between the builds</summary>'
    return [
        markup(opened),
        table(("Build of", "Since the build before"), rows, "fared-table"),
        markup("</details>"),
    ]


def setup(app: Sphinx) -> None:
    app.add_directive("builds-record", Builds)
