"""``{flow-chart}``: a decision of the chooser as a tree whose ends are links to the choices.

It is made of nested lists, so a phone shows the same tree from the top down, and a reader who does
not see it hears questions, answers and links.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from bookext.answers import Decision, Rules
from bookext.build import markup
from bookext.chooser import RulesDirective, target
from bookext.tree import Fork, Tree, grow

LOGGER = logging.getLogger(__name__)

#: What the end says where nothing has to be chosen.
NOTHING = "nothing to do"


class FlowChart(RulesDirective):
    """The tree of one decision, which the argument names; the content is its caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Raw HTML for the tree; an unknown decision is a warning."""
        rules, name = self.rules(), self.arguments[0]
        found = [one for one in rules.decision if one.name == name] if rules else []
        if rules is None or not found:
            LOGGER.warning("flow-chart: no decision %r", name, location=self.get_location())
            return []
        caption = escape(" ".join(self.content))
        return [markup(draw(rules, found[0], caption))]


def draw(rules: Rules, decision: Decision, caption: str) -> str:
    """The tree as HTML, and the caption below it."""
    tree = "".join(_Chart(rules).tree(grow(rules, decision)))
    told = f"Flow chart: {decision.short}"
    return (
        f'<figure class="drawing flow" role="group" aria-label="{escape(told)}">{tree}'
        f"<figcaption>{caption}</figcaption></figure>"
    )


class _Chart:
    """What the rules call their questions, answers and choices."""

    def __init__(self, rules: Rules) -> None:
        self._choices = rules.choices
        self._heads = {question.name: question.short for question in rules.question}
        self._heads |= {decision.name: decision.short for decision in rules.decision}
        self._says = {(q.name, a.name): a.brief or a.says for q in rules.question for a in q.answer}
        self._says |= {
            (d.name, c.name): c.brief or c.title for d in rules.decision for c in d.choice
        }

    def tree(self, tree: Tree) -> Iterator[str]:
        if isinstance(tree, str):
            yield self._end(tree)
            return
        yield f'<div class="flow-fork"><p>{escape(self._heads[tree.asks])}</p><ul>'
        for words, behind in self._ways(tree):
            yield f'<li><span class="flow-answer"><span>{escape(words)}</span></span>'
            yield from self.tree(behind)
            yield "</li>"
        yield "</ul></div>"

    def _ways(self, fork: Fork) -> Sequence[tuple[str, Tree]]:
        """The answers in words; the largest group, if it is one, is the rest and stands last."""
        largest, _ = max(fork.ways, key=lambda way: len(way[0]))
        ways = []
        for answers, behind in fork.ways:
            rest = answers == largest and len(answers) > 1
            said = " or ".join(self._says[fork.asks, one] for one in answers)
            ways.append((rest, "anything else" if rest else said, behind))
        return [(words, behind) for _, words, behind in sorted(ways, key=lambda way: way[0])]

    def _end(self, name: str) -> str:
        if not name:
            return f'<span class="flow-end">{NOTHING}</span>'
        choice = self._choices[name]
        brief = choice.brief or choice.title
        marks = "".join(f'<i class="flow-{one}"></i>' for one in choice.runs)
        return f'<a class="flow-end" href="#{target(name)}">{marks}{escape(brief)}</a>'


def setup(app: Sphinx) -> None:
    app.add_directive("flow-chart", FlowChart)
