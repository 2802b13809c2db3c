"""The flow charts: they say what the rules say, and their ends are the chooser's choices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bookext.answers import Decision
from bookext.tree import Fork, Tree, ends, grow, walk

from tests.bookext import site
from tests.bookext.test_chooser import CARDS, RULES, SMALL, WHICH, small

DECISIONS = [pytest.param(one, id=one.name) for one in RULES.decision]


@pytest.mark.parametrize("decision", DECISIONS)
def test_every_set_of_answers_ends_where_the_rules_lead(decision: Decision) -> None:
    tree = grow(RULES, decision)
    for answers in RULES.combinations():
        found = RULES.decide(answers)
        assert walk(tree, {**found, **answers}) == found[decision.name]


@pytest.mark.parametrize("decision", DECISIONS)
def test_the_ends_are_the_decision_s_choices(decision: Decision) -> None:
    needed = {rule.take for rule in decision.rule}
    assert set(ends(grow(RULES, decision))) == needed
    assert needed - {""} == {choice.name for choice in decision.choice}


@pytest.mark.parametrize("decision", DECISIONS)
def test_no_question_is_asked_twice_or_in_vain(decision: Decision) -> None:
    def look(tree: Tree, asked: frozenset[str]) -> None:
        if isinstance(tree, Fork):
            assert tree.asks not in asked
            assert len({behind for _, behind in tree.ways}) == len(tree.ways) > 1
            for _, behind in tree.ways:
                look(behind, asked | {tree.asks})

    look(grow(RULES, decision), frozenset())


def test_the_page_draws_each_decision_once() -> None:
    drawn = re.findall(r"^```\{flow-chart\} (\w+)$", WHICH, re.MULTILINE)
    assert sorted(drawn) == sorted(decision.name for decision in RULES.decision)


@pytest.mark.parametrize("name", [choice.name for choice in RULES.decision[0].choice])
def test_a_path_s_colours_are_the_interfaces_of_its_commands(name: str) -> None:
    served = re.findall(r"^(?:gunicorn|uvicorn) myproject\.(wsgi|asgi):", CARDS[name], re.MULTILINE)
    assert list(RULES.choices[name].runs) == served


def test_of_two_orders_the_one_that_asks_less_is_drawn(tmp_path: Path) -> None:
    rules = small(tmp_path, SMALL.replace('a = ["yes"], b = ["yes"]', 'b = ["yes"]'))
    assert grow(rules, rules.decision[0]) == Fork("b", ((("yes",), "x"), (("no",), "y")))
    rules = small(tmp_path)
    inner = Fork("b", ((("yes",), "x"), (("no",), "y")))
    assert grow(rules, rules.decision[0]) == Fork("a", ((("yes",), inner), (("no",), "y")))


PAGE = """# Which

```{flow-chart} path
What to *take* & why.
```

## Paths

```{chooser}
```

:::{choice} x
X
:::

:::{choice} y
Y
:::

:::{choice} z
Z
:::
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "book" / "chooser.toml").write_text(SMALL)
    site.write(tmp_path, {"index": PAGE}, "myst_enable_extensions = ['colon_fence']\n")
    return tmp_path


def test_the_chart_has_a_name_questions_answers_and_links_to_the_cards(book: Path) -> None:
    page = site.html(site.clean(book), "index")
    assert '<figure class="drawing flow" role="group" aria-label="Flow chart: Path">' in page
    chart = page.partition("<figure")[2].partition("</figure>")[0]
    assert site.plain(f"<{chart}") == (
        "A yes B yes Take X no Take Y no & never Take Y What to *take* & why."
    )
    targets = set(re.findall(r'href="#([\w-]+)"', chart))
    assert targets == {"choice-x", "choice-y"}
    assert all(f'id="{one}"' in page for one in targets)


def test_a_decision_that_is_not_there_is_a_warning(book: Path) -> None:
    (book / "index.md").write_text(PAGE.replace("{flow-chart} path", "{flow-chart} paths"))
    assert "no decision 'paths'" in site.build(book)[0].warning.getvalue()
