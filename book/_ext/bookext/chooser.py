"""``{chooser}``: five questions as a form. ``{choice}``: what an answer leads to, in Markdown.

All choices stand on the page; ``flowchart`` draws the rules. The script hides the choices that the
answers given so far rule out, and lists the other answers that would change the path. It knows no
rule: the outcome of every set of answers is computed here and stands in the form as data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bookext.answers import Rules, read_rules
from bookext.build import box, markup, paragraph
from bookext.loads import Load, told

LOGGER = logging.getLogger(__name__)

#: One character for each choice in the data of the form.
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def read_load(text: str | None) -> Load:
    """The load of an option: the book's own, but for each ``name=number``.

    Raises:
        ValueError: there is no such number of a load.
    """
    fields = dict(one.split("=") for one in (text or "").split())
    if strange := set(fields) - set(vars(Load())):
        raise ValueError(f"a load has no {strange}; it has {set(vars(Load()))}")
    return Load(**{name: json.loads(number) for name, number in fields.items()})


class RulesDirective(SphinxDirective):
    """What both directives know."""

    def rules(self) -> Rules | None:
        """The rules; a file that cannot be used is a warning."""
        path = Path(self.env.srcdir, self.config.bookext_chooser)
        self.env.note_dependency(str(path))
        try:
            return read_rules(path)
        except ValueError as error:
            LOGGER.warning("chooser: %s", error, location=self.get_location())
            return None


class Chooser(RulesDirective):
    """The form."""

    def run(self) -> list[nodes.Node]:
        """Raw HTML: form fields have no docutils node."""
        rules = self.rules()
        if rules is None:
            return []
        return [box(markup("".join(_form(rules))), classes=["chooser"])]


class ChoiceCard(RulesDirective):
    """One choice: its title and the page's own words."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"load": read_load}

    def run(self) -> list[nodes.Node]:
        """The card; an unknown choice is a warning."""
        rules, name = self.rules(), self.arguments[0]
        if rules is None or name not in rules.choices:
            LOGGER.warning("choice: there is no %r", name, location=self.get_location())
            return []
        title = paragraph(nodes.strong("", rules.choices[name].title), classes=["choice-title"])
        card = box(title, classes=["choice"])
        card["ids"].append(target(name))
        self.state.nested_parse(self.content, self.content_offset, card)
        if "load" in self.options:
            self._tell(card, self.options["load"])
        return [card]

    def _tell(self, card: nodes.container, load: Load) -> None:
        """Below the card's command, which load it is for; the script takes a visitor's own."""
        for block in list(card.findall(nodes.literal_block))[:1]:
            said = paragraph(told(load, block.astext()), classes=["choice-load"])
            data = escape(json.dumps(asdict(load)))
            opened = f'<div data-load="{data}">'
            place = block.parent.index(block) + 1
            block.parent[place:place] = [
                markup(opened), said, markup("</div>")
            ]  # fmt: skip


def target(choice: str) -> str:
    """A choice's anchor."""
    return f"choice-{choice}"


def _form(rules: Rules) -> Iterator[str]:
    data = escape(json.dumps(list(outcomes(rules)), separators=(",", ":")))
    yield (
        '<form class="chooser-form" hidden aria-label="Which should you use?" '
        f'data-decisions="{data}">'
    )
    for number, question in enumerate(rules.question, 1):
        yield f'<fieldset data-short="{escape(question.short)}">'
        yield f"<legend>{number}. {escape(question.asks)}</legend>"
        for answer in question.answer:
            yield (
                f'<label><input type="radio" name="{question.name}" value="{answer.name}"> '
                f"<span>{escape(answer.says)}</span></label>"
            )
        yield "</fieldset>"
    yield (
        '<div class="chooser-result" role="status"></div>'
        '<details class="choice-change" open hidden><summary>What would change it</summary>'
        '<ul></ul></details><p class="chooser-actions">'
        '<a class="chooser-link" href="#">Link to these answers</a>'
        '<button type="button" data-action="print">Print</button>'
        '<button type="reset">Start again</button></p></form>'
    )


def outcomes(rules: Rules) -> Iterator[dict[str, object]]:
    """Each decision's choices, and for every set of answers, in order, which of them is taken.

    It is one character each: the choice's place, to the base of 36, or ``-`` for none.
    """
    decided = [rules.decide(answers) for answers in rules.combinations()]
    for decision in rules.decision:
        names = [choice.name for choice in decision.choice]
        places = {name: _DIGITS[place] for place, name in enumerate(names)} | {"": "-"}
        taken = "".join(places[one[decision.name]] for one in decided)
        yield {"short": decision.short, "choices": names, "outcomes": taken}


def compare(app: Sphinx, doctree: nodes.document) -> None:
    """Warn if a page with a chooser has not exactly one card for each choice."""
    if not any(_with(doctree, "chooser")):
        return
    found = sorted(name for node in _with(doctree, "choice") for name in node["ids"])
    rules = read_rules(Path(app.srcdir, app.config.bookext_chooser))
    wanted = sorted(map(target, rules.choices))
    if found != wanted:
        LOGGER.warning("chooser: the page has %s, the rules %s", found, wanted, location=doctree)


def _with(doctree: nodes.document, name: str) -> Iterable[nodes.container]:
    return (node for node in doctree.findall(nodes.container) if name in node["classes"])


def setup(app: Sphinx) -> None:
    app.add_config_value("bookext_chooser", "book/chooser.toml", "env", types=(str,))
    app.add_directive("chooser", Chooser)
    app.add_directive("choice", ChoiceCard)
    app.connect("doctree-read", compare)
