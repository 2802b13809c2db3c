"""The chooser: every set of answers leads to one path, which the page has, with its claims."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bookext import chooser
from bookext.answers import Rules, read_rules

from gatewaylab.claims.catalogue import catalogue
from tests import ROOT
from tests.bookext import site

RULES = read_rules(ROOT / "book" / "chooser.toml")
WHICH = (ROOT / "book" / "which.md").read_text(encoding="utf-8")
CARDS = dict(re.findall(r"^:::\{choice\} (\S+)\n(.*?)^:::$", WHICH, re.DOTALL | re.MULTILINE))
SMALL = """
[[question]]
name = "a"
short = "A"
asks = "Is it A?"
answer = [{ name = "yes", says = "yes" }, { name = "no", says = "no & never" }]

[[question]]
name = "b"
short = "B"
asks = "Is it B?"
answer = [{ name = "yes", says = "yes" }, { name = "no", says = "no" }]

[[decision]]
name = "path"
short = "Path"
choice = [{ name = "x", title = "Take X" }, { name = "y", title = "Take Y" }]
rule = [{ when = { a = ["yes"], b = ["yes"] }, take = "x" }, { take = "y" }]

[[decision]]
name = "extra"
short = "Also"
choice = [{ name = "z", title = "Z besides" }]
rule = [{ when = { path = ["x"] }, take = "z" }, { take = "" }]
"""
PAGE = """# Which

```{slot-calculator}
```

## Paths

```{chooser}
```

### X

:::{choice} x
:load: rate=5 cores=1

The words of *X*.

```bash
gunicorn x --threads 3 --workers 1
```
:::

:::{choice} y
The words of Y.
:::

### Z

:::{choice} z
The words of Z.
:::
"""


def small(tmp_path: Path, rules: str = SMALL) -> Rules:
    path = tmp_path / "rules.toml"
    path.write_text(rules)
    return read_rules(path)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "book" / "chooser.toml").write_text(SMALL)
    site.write(tmp_path, {"index": PAGE}, "myst_enable_extensions = ['colon_fence']\n")
    return tmp_path


# The rules of the book


def test_every_set_of_answers_leads_to_one_path_and_one_file_that_the_page_has() -> None:
    seen: set[str] = set()
    for answers in RULES.combinations():
        found = RULES.decide(answers)
        assert list(found) == ["path", "front", "uploads"]
        assert found["path"]
        assert found["front"]
        assert bool(found["uploads"]) == (answers["files"] == "yes")
        seen |= {name for name in found.values() if name}
    assert seen == set(CARDS) == set(RULES.choices)


def test_there_are_five_questions_and_all_their_answers_matter() -> None:
    assert len(RULES.question) == 5
    for question in RULES.question:
        outcomes = {
            answer.name: [
                RULES.decide({**given, question.name: answer.name})
                for given in RULES.combinations()
            ]
            for answer in question.answer
        }
        assert len({json.dumps(each) for each in outcomes.values()}) == len(question.answer)


@pytest.mark.parametrize("name", [choice.name for choice in RULES.decision[0].choice])
def test_a_path_has_a_command_and_rests_on_claims_that_exist(name: str) -> None:
    assert re.search(r"^```bash\n(gunicorn|uvicorn) ", CARDS[name], re.MULTILINE)
    claims = set(re.findall(r"\{claim\}`(?:[^`<]*<)?(\w+)>?`", CARDS[name]))
    assert claims
    assert claims <= set(catalogue())


@pytest.mark.parametrize("name", [c.name for c in RULES.decision[1].choice])
def test_a_file_in_front_is_one_of_the_shipped_and_the_book_shows_it(name: str) -> None:
    (file, anchor) = re.findall(r"\[`(deploy/[^`]+)`\]\(production\.md#([\w-]+)\)", CARDS[name])[0]
    assert (ROOT / file).is_file()
    assert file.endswith(RULES.choices[name].title.partition(",")[0])
    production = (ROOT / "book" / "production.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", production, re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
    assert f"literalinclude}} ../{file}" in production


def test_wsgi_stands_behind_gunicorns_file_and_asgi_behind_uvicorns() -> None:
    """The path's own command says which program the file in front has to lead to."""
    files = {("gunicorn",): "front-gunicorn", ("uvicorn",): "front-uvicorn",
             ("gunicorn", "uvicorn"): "front-both"}  # fmt: skip
    for answers in RULES.combinations():
        found = RULES.decide(answers)
        programs = tuple(re.findall(r"^(gunicorn|uvicorn) ", CARDS[found["path"]], re.MULTILINE))
        if answers["place"] == "server":
            assert found["front"] == files[programs]
        if answers["sockets"] == "yes":
            assert "uvicorn" in programs


# Rules in general


def test_the_first_rule_that_fits_counts_and_later_decisions_see_earlier_ones(
    tmp_path: Path,
) -> None:
    rules = small(tmp_path)
    assert [rules.decide(each) for each in rules.combinations()] == [
        {"path": "x", "extra": "z"}, *3 * [{"path": "y", "extra": ""}]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('a = ["yes"], b', 'a = ["maybe"], b', "nothing answers a"),
        ('a = ["yes"], b', 'c = ["yes"], b', "nothing answers c"),
        ('take = "x"', 'take = "w"', "no choice 'w'"),
        ('{ take = "y" }', '{ when = { a = ["no"] }, take = "y" }', "has to fit always"),
        ('short = "A"', "", "Field required"),
    ],
)
def test_rules_that_name_what_does_not_exist_are_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in SMALL
    with pytest.raises(ValueError, match=said):
        small(tmp_path, SMALL.replace(old, new))


# The page


def test_without_scripts_the_page_has_all_choices(book: Path) -> None:
    page = site.html(site.clean(book), "index")
    assert re.search(r'<form class="chooser-form" hidden', page)
    assert "hidden" not in re.findall(r'<div class="choice[^>]*>', page)
    words = site.plain(page)
    assert "For 5 requests a second of 120 ms, 1 core, at most 1 in 20 waiting." in words
    for said in ("The words of X", "The words of Y", "The words of Z", "no & never"):
        assert said in words


def test_the_form_asks_each_question_once_with_a_label_for_each_answer(book: Path) -> None:
    page = site.html(site.clean(book), "index")
    assert re.findall(r"<legend>(.*?)</legend>", page) == ["1. Is it A?", "2. Is it B?"]
    radios = re.findall(r'<label><input type="radio" name="(\w)" value="(\w+)">', page)
    assert radios == [("a", "yes"), ("a", "no"), ("b", "yes"), ("b", "no")]


def test_a_page_without_a_choice_of_the_rules_is_a_warning(book: Path) -> None:
    (book / "index.md").write_text(PAGE.replace(":::{choice} z", ":::{note}"))
    assert "choice-z" in site.build(book)[0].warning.getvalue()


def test_an_unknown_choice_and_a_bad_file_are_warnings(book: Path) -> None:
    (book / "index.md").write_text(PAGE.replace("{choice} z", "{choice} w"))
    assert "there is no 'w'" in site.build(book)[0].warning.getvalue()
    (book / "index.md").write_text(PAGE.replace("cores=1", "coers=1"))
    assert "coers" in site.build(book)[0].warning.getvalue()
    (book / "book" / "chooser.toml").write_text("nothing = 1")
    assert "chooser.toml: " in site.build(book)[0].warning.getvalue()


# The script


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_finds_what_the_rules_decide_for_every_set_of_answers() -> None:
    counts = [len(question.answer) for question in RULES.question]
    data = json.dumps(list(chooser.outcomes(RULES)))
    found = node(
        f"chooser.combinations({counts}).map((set) => chooser.possible({data}, {counts}, set))"
    )
    expected = [
        [[name] if name else [] for name in RULES.decide(answers).values()]
        for answers in RULES.combinations()
    ]
    assert found == expected


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_leaves_what_open_questions_can_still_lead_to(tmp_path: Path) -> None:
    data = json.dumps(list(chooser.outcomes(small(tmp_path))))
    asked = "[[-1, -1], [1, -1], [-1, 0]]"
    found = node(f"{asked}.map((given) => chooser.possible({data}, [2, 2], given))")
    assert found == [[["x", "y"], ["z"]], [["y"], []], [["x", "y"], ["z"]]]


def node(expression: str) -> Any:
    script = json.dumps(str(ROOT / "book" / "assets" / "chooser.js"))
    code = f"const chooser = require({script}); console.log(JSON.stringify({expression}))"
    found = subprocess.run(
        ["node", "-e", code], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(found.stdout)
