"""The book's Sphinx extension: what pages print comes from evidence, and only from there."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from bookext import claimed, conditions, icons, page, wording
from bookext.roles import describe
from bookext.shelf import Shelf, UnknownReferenceError
from bookext.strip import strip
from bookext.whose import sign_figures
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.testing.util import SphinxTestApp

from gatewaylab.publish.states import StateRecord
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import (
    ClaimRecord,
    Evidence,
    Source,
    SystemRecord,
    ValueRecord,
)
from gatewaylab.servers.conditions import conditions_so_far
from gatewaylab.show.figures import Picture
from tests import builders
from tests.bookext.site import build, clean, data, html, plain, rows, write
from tests.builders import comparison, finding, trial

WORDS = {
    "title": "WSGI handles one request per worker at a time.",
    "statement": "A worker handles as many requests at once as it has `slots`.",
    "nuance": "It has as many as it has slots.",
    "notebook": "slots",
}
PEP = "https://peps.python.org/pep-3333/"
SINCE = "Django supports ASGI since 3.0."
CLAIMS = (
    builders.entry("C05", kind="ratio", common_verdict="false", source=PEP, **WORDS)
    + builders.entry("C07", kind="cited", title=SINCE, statement=SINCE, notebook="slots")
    + builders.entry("C13", kind="ratio", title="Long requests block.", notebook="later")
)


def effect(estimate: float = 6.1, low: float = 5.8, high: float = 6.4, **more: Any) -> Effect:
    fields = {"what": "median latency, one slot to eight", "floor": 1.02, "n": 432}
    return builders.effect(estimate, low, high, **{**fields, "comparison": "waiting", **more})


def claim(**more: Any) -> ClaimRecord:
    fields: dict[str, Any] = {
        **WORDS,
        "effect": effect(),
        "threshold": 2.4,
        "theory": 6.0,
        "rule": "at least 2.4",
        "sources": (Source(label="PEP 3333", url=PEP),),
    }
    return builders.claim_record(**{**fields, **more})


def evidence(**more: Any) -> Evidence:
    fields: dict[str, Any] = {
        "measured_at": "2026-11-22T08:00:00+00:00",
        "finished_at": "2026-11-22T08:03:00+00:00",
        "claims": (claim(),),
        "values": {"worst-gap": ValueRecord(value=0.1234, unit="ms", format=".2f")},
        "systems": (
            SystemRecord(
                name="mod_wsgi",
                title="Apache mod_wsgi",
                interface="wsgi",
                slot_kind="thread",
                version=None,
                measured=False,
                hint="apt-get install libapache2-mod-wsgi-py3",
            ),
        ),
        "environment": builders.ENVIRONMENT.model_copy(
            update={"cpu": "A Processor", "kind": "A Processor × 2", "packages": {"django": "5.2"}}
        ),
        "executed": {},
    }
    return builders.evidence(**{"notebook": "slots", **fields, **more})


def put(root: Path, record: Evidence) -> None:
    folder = root / "_build" / "evidence"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{record.notebook}.json").write_text(record.model_dump_json() + "\n")


#: The executed form of a notebook without any code.
CELLS: dict[str, Any] = {"cells": []}


def touch(path: Path) -> None:
    """Let a file be ten seconds newer than it is."""
    later = path.stat().st_mtime_ns + 10**10
    os.utime(path, ns=(later, later))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book" / "claims" / "all.toml").write_text(CLAIMS)
    for stem in ("slots", "later"):
        (tmp_path / "notebooks" / f"{stem}.md").write_text(f"# {stem.title()}\n")
    put(tmp_path, evidence())
    return tmp_path


@pytest.fixture
def shelf(root: Path) -> Shelf:
    build = root / "_build"
    return Shelf(
        build / "evidence", root / "reference", root / "book" / "claims", root / "notebooks",
        build / "state", root / "replications", build / "builds",
    )  # fmt: skip


# What a number looks like


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (6.1234, "", "6.12"),
        (6.1234, ".1f", "6.1"),
        (123456.0, "", "123456"),
        (432, "", "432"),
        (-0.5, "", "−0.5"),
        (float("inf"), "", "∞"),
        (float("inf"), ".1f", "∞"),
    ],
)
def test_number_is_short_or_as_asked(value: float, form: str, text: str) -> None:
    assert wording.number(value, form) == text


HELD = effect(1.0, 1.0, 1.0, kind="behaviour", blocks=5, values=(1.0,) * 5)
UNDECIDED = HELD.model_copy(update={"undecided": 2})


@pytest.mark.parametrize(
    ("one", "form", "text"),
    [
        (effect(), "", "6.1\u00a0× (5.8–6.4)"),
        (effect(), ".2f", "6.10\u00a0× (5.80–6.40)"),
        (HELD, "", "5 of 5 repetitions"),
        (UNDECIDED, "", "5 of 5 repetitions, 2 undecided"),
        (effect(refused=(finding(),)), "", wording.REFUSED),
    ],
)
def test_effect_prints_its_interval_or_repetitions(one: Effect, form: str, text: str) -> None:
    assert wording.effect(one, form) == text


SAME = "; the verdict is the same with all that noise can have done taken off"


@pytest.mark.parametrize(
    ("verdict", "one", "told"),
    [
        ("supported", effect(), f"2 of 6 blocks{SAME}"),
        ("inconclusive", effect(), "2 of 6 blocks"),
        ("supported", UNDECIDED, "2 repetitions are undecided: noise can explain them"),
    ],
)
def test_disturbed_blocks_are_told_with_what_they_mean_for_the_verdict(
    verdict: str, one: Effect, told: str
) -> None:
    assert wording.disturbance(claim(verdict=verdict, effect=one, disturbed=2)) == told


# What a reference means


@pytest.mark.parametrize(
    ("reference", "text", "anchor"),
    [
        ("C05.effect", "6.1\u00a0× (5.8–6.4)", "c05"),
        ("C05.effect.estimate", "6.1", "c05"),
        ("C05.effect.estimate|.2f", "6.10", "c05"),
        ("C05.effect.n", "432", "c05"),
        ("C05.sabotage.effect.estimate|.1f", "1.0", "c05"),
        ("C05.sabotage.verdict", "refuted", "c05"),
        ("C05.theory", "6", "c05"),
        ("C05.verdict", "supported", "c05"),
        ("slots.values.worst-gap", "0.12\u00a0ms", "trials-slots"),
        ("slots.values.worst-gap|.3f", "0.123\u00a0ms", "trials-slots"),
    ],
)
def test_reference_prints_evidence(shelf: Shelf, reference: str, text: str, anchor: str) -> None:
    assert describe(reference, shelf) == (text, anchor, "slots")


@pytest.mark.parametrize(
    "reference", ["C13.effect", "C13.effect.estimate", "C13.threshold", "later.values.any"]
)
def test_what_was_not_measured_is_said_and_is_no_number(shelf: Shelf, reference: str) -> None:
    assert describe(reference, shelf)[0] == wording.NOT_MEASURED


@pytest.mark.parametrize(
    "reference",
    [
        "C99.effect",
        "C05.speed",
        "C05.effect.values",
        "C05.effect.estimate.real",
        "C07.effect",
        "slots.values.typo",
        "slots.worst-gap",
        "nothing.values.key",
        "",
    ],
)
def test_reference_to_nothing_is_an_error(shelf: Shelf, reference: str) -> None:
    with pytest.raises(UnknownReferenceError):
        describe(reference, shelf)


def test_refused_effect_gives_no_number_but_its_basis(root: Path, shelf: Shelf) -> None:
    refused = claim(verdict="inconclusive", effect=effect(refused=(finding(),)))
    put(root, evidence(claims=(refused,)))
    assert describe("C05.effect.estimate", shelf)[0] == wording.REFUSED
    assert describe("C05.effect.blocks", shelf)[0] == "6"


def test_interval_drawing_orders_its_marks_and_describes_them() -> None:
    drawing = strip(claim())
    assert drawing is not None
    assert "6.1\u00a0× (5.8–6.4)" in drawing
    assert "model predicts 6" in drawing
    one, rule = drawing.index(">1<"), drawing.index(">rule<")
    assert one < rule < drawing.index(">model<")


@pytest.mark.parametrize("marks", [(1.02, 1.04), (40.0, 40.5), (0.02, 0.0201)])
def test_names_of_an_interval_drawing_stand_apart_and_inside(marks: tuple[float, float]) -> None:
    drawing = strip(claim(threshold=marks[0], theory=marks[1]))
    assert drawing is not None
    found = re.findall(r'<text x="([\d.]+)" y="43">(\w+)<', drawing)
    ends = sorted((float(x) - 3.5 * len(name), float(x) + 3.5 * len(name)) for x, name in found)
    assert len(ends) == 3
    assert ends[0][0] >= 0
    assert ends[-1][1] <= 320
    assert all(one[1] <= other[0] for one, other in pairwise(ends))


def test_nothing_is_drawn_without_a_ratio() -> None:
    assert strip(claim(verdict="not measured", effect=None)) is None
    assert strip(claim(effect=effect(high=float("inf")))) is None


# The last touch to a page


def test_policy_lists_exactly_the_inline_scripts() -> None:
    html = '<script>a()</script><script src="x.js"></script><script type="text/json">{}</script>'
    digest = base64.b64encode(hashlib.sha256(b"a()").digest()).decode()
    assert page.script_hashes(html) == [digest]
    policy = page.content_policy(html)
    assert f"script-src 'self' file: 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_repeated_scripts_are_loaded_once() -> None:
    html = '<script src="a.js?v=1"></script><script>x</script><script src="a.js"></script>'
    assert page.without_repeats(html + html) == html.removesuffix('<script src="a.js"></script>')


def test_the_search_index_is_left_to_the_search_page(book: Path) -> None:
    html = '<script src="../searchindex.js"></script> <script src="_static/doctools.js"></script>'
    assert page.without_search(html) == '<script src="_static/doctools.js"></script>'
    out = Path(build(book)[0].outdir)
    assert "searchindex.js" in (out / "search.html").read_text(encoding="utf-8")
    assert "searchindex.js" not in (out / "book" / "method.html").read_text(encoding="utf-8")


def test_summary_and_sidebar_get_names_and_title_is_not_doubled() -> None:
    html = (
        '<html><head><meta charset="utf-8" /><title>A &#8212; A</title></head>'
        '<div id="pst-primary-sidebar" class="x"><summary><span class="toctree-toggle">'
    )
    done = page.finish(html)
    assert '<summary aria-label="' in done
    assert '<div id="pst-primary-sidebar" role="navigation" aria-label="Book" class="x">' in done
    assert "<title>A</title>" in done
    assert done.index("Content-Security-Policy") < done.index("<title>")


def test_event_attributes_are_found_outside_scripts_only() -> None:
    assert page.inline_handlers('<b onclick="x()">') == ["onclick"]
    assert page.inline_handlers("<script>'<b onclick=\"x()\">'</script><b class='on'>") == []


# Icons


def test_icons_are_the_private_characters_of_a_sheet() -> None:
    assert icons.codepoints('.a:before{content:"\uf185"}.b:before{content:"×"}') == {0xF185}


def test_font_is_cut_to_the_code_points_and_kept(tmp_path: Path) -> None:
    import pydata_sphinx_theme
    from fontTools.ttLib import TTFont

    theme = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
    font = theme / "vendor/fontawesome/webfonts/fa-solid-900.woff2"
    small = icons.shrink(font, {0xF002, 0xF185}, tmp_path)
    assert len(small) < 3000
    (stored,) = tmp_path.iterdir()
    assert set(TTFont(stored).getBestCmap()) == {0xF002, 0xF185}
    stored.write_bytes(b"kept")
    assert icons.shrink(font, {0xF002, 0xF185}, tmp_path) == b"kept"


# Whole builds

PAGES = {
    "index": "# Front\n\n{claim}`C05` and {measured}`C05.effect`; see [](book/claims.md).\n",
    "book/claims": "# Ledger\n\n## All\n\n```{claims-ledger}\n```\n\n```{claim-entries}\n```\n",
    "book/method": "# Method\n\nWords and $x^2$.\n\n$$\ny = x\n$$\n",
    "book/how": (
        "# How\n\n```{states-table}\n```\n\n```{systems-table}\n```\n\n```{trials-table}\n```\n\n"
        "```{environment-record}\n```\n"
    ),
    "notebooks/slots": (
        "# Slots\n\n```{measured-stamp}\n```\n\n```{claim-card} C05\n```\n\n"
        "{measured}`slots.values.worst-gap`\n"
    ),
    "notebooks/later": "# Later\n\n```{measured-stamp}\n```\n\n{measured}`C13.effect`\n",
}
TREE = "\n```{toctree}\nbook/claims\nbook/method\nbook/how\nnotebooks/slots\nnotebooks/later\n```\n"


@pytest.fixture
def book(root: Path) -> Path:
    pages = {**PAGES, "index": PAGES["index"] + TREE}
    write(root, pages, "myst_enable_extensions = ['dollarmath']\nbookext_measured = 'book/how'\n")
    return root


def test_pages_print_evidence_and_link_to_its_method(book: Path) -> None:
    app = clean(book)
    front = html(app, "index")
    assert "6.1\u00a0× (5.8–6.4)" in front
    assert 'href="book/claims.html#c05"' in front
    assert "C05 · supported" in plain(front)
    ledger = html(app, "book/claims")
    assert '<section class="claim-entry" id="c05">' in ledger
    assert "3 claims: " in ledger
    assert "Of 1 sabotages, 1 were caught." in ledger
    assert "<code" in ledger
    slots = html(app, "notebooks/slots")
    assert 'href="../data/slots.json"' in slots
    assert "This machine, 22 November 2026, A Processor" in slots
    assert wording.NOT_MEASURED in html(app, "notebooks/later")
    assert "libapache2-mod-wsgi-py3" in html(app, "book/how")
    assert html(app, "book/method").count("<math") == 2
    assert "MathJax" not in html(app, "book/method")


def test_raw_data_and_claims_are_published(book: Path) -> None:
    app, _ = build(book)
    assert data(app, "slots")["notebook"] == "slots"
    published = data(app, "claims")["claims"]
    assert [c["verdict"] for c in published] == ["supported", "not measured", "not measured"]
    assert [c["state"] for c in published] == ["accepted", None, "missing"]
    (run,) = data(app, "environment")["runs"]
    assert (run["notebook"], run["profile"]) == ("slots", "quick")
    assert run["environment"]["cores"] >= 1
    assert (run["seeds"], run["trials_disturbed"]) == ({}, 0)
    assert run["trials_measured_again"] == 0
    assert data(app, "evidence.schema")["title"] == "Evidence"


def test_changed_evidence_rebuilds_exactly_the_pages_that_use_it(book: Path) -> None:
    build(book)
    _, unchanged = build(book)
    assert unchanged == set()
    put(book, evidence(claims=(claim(effect=effect(7.0, 6.5, 7.5)),)))
    touch(book / "_build" / "evidence" / "slots.json")
    app, read = build(book)
    assert read == {"index", "book/claims", "book/how", "notebooks/slots"}
    assert "7\u00a0× (6.5–7.5)" in html(app, "index")


def test_new_evidence_replaces_the_remark(book: Path) -> None:
    build(book)
    put(book, evidence(notebook="later", claims=(claim(id="C13", notebook="later"),)))
    app, read = build(book)
    assert read == {"notebooks/later", "book/claims", "book/how"}
    assert "6.1\u00a0× (5.8–6.4)" in html(app, "notebooks/later")


def test_unknown_reference_warns(book: Path) -> None:
    (book / "book" / "method.md").write_text("# Method\n\n{measured}`C05.speed` {claim}`C99`\n")
    app, _ = build(book)
    warnings = app.warning.getvalue()
    assert "C05 has no field 'speed'" in warnings
    assert "no claim 'C99'" in warnings


def test_without_any_evidence_no_number_is_printed(book: Path) -> None:
    (book / "_build" / "evidence" / "slots.json").unlink()
    app = clean(book)
    for name in ("index", "notebooks/slots", "book/how"):
        assert wording.NOT_MEASURED in html(app, name).lower()
    assert "6.1" not in html(app, "book/claims")


# What a page says of whose its numbers are

ATTEMPT = "2026-11-23T10:20:00+00:00"
MEASURED = "2026-11-22T08:00:00+00:00"


def put_state(root: Path, state: str, notebook: str = "slots", **more: Any) -> None:
    fields: dict[str, Any] = {"notebook": notebook, "state": state, "since": ATTEMPT}
    kinds = {"unstable": "noise", "rejected": "wrong"}
    more["reasons"] = [
        {"kind": "held" if text == FAR else kinds[state], "text": text}
        for text in more.get("reasons", ())
    ]
    folder = root / "_build" / "state"
    folder.mkdir(parents=True, exist_ok=True)
    record = StateRecord.model_validate({**fields, **more})
    (folder / f"{notebook}.json").write_text(record.model_dump_json() + "\n")


def put_reference(root: Path, record: Evidence) -> None:
    folder = root / "book" / "records" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    day = {"measured_at": "2026-11-20T08:00:00+00:00", "finished_at": "2026-11-20T08:09:00+00:00"}
    named = record.model_copy(update=day)
    (folder / f"{record.notebook}.json").write_text(named.model_dump_json() + "\n")


def foot(app: SphinxTestApp, name: str) -> list[str]:
    """The sentences at the foot of a page."""
    inside = re.search(r'<div class="numbers-foot[^"]*">(.*?)</div>', html(app, name), re.S)
    return [] if inside is None else [plain(one) for one in inside[1].split("</p>")[:-1]]


def note(app: SphinxTestApp, name: str) -> str:
    """The sentences under the line under a chapter's title."""
    return plain("".join(re.findall(r'<p class="numbers-note[^"]*">(.*?)</p>', html(app, name))))


def marks(app: SphinxTestApp, name: str) -> list[str]:
    """The marks of a page."""
    return re.findall(r'<span class="state-badge [^"]*">(.*?)</span>', html(app, name))


MINE = "Numbers on this page: this machine, 22 November 2026 (1 chapter) · machines and versions"
THEIRS = MINE.replace("this machine, 22", "reference machine, 20")
OLD = "22 November 2026, on A Processor with CPython 3.11.7."
CHANGED = "The code, a version or the machine has changed since."
OLDER = f"The numbers of {{it}} are of {OLD} {CHANGED}"
LEFT_OUT = "Figures and other outputs are left out, because the code beside them has changed."
TRIED = "The attempt of 23 November 2026 10:20 UTC to measure {it} on this machine"
FAR = "C05 lies far above its earlier numbers"
NOISY = {"at": ATTEMPT, "reasons": ("C05: CPU pressure",)}
WRONG = {"at": ATTEMPT, "reasons": ("the data refute C05",)}


def test_accepted_numbers_bear_no_mark_and_the_foot_names_their_machine(book: Path) -> None:
    app = clean(book)
    assert foot(app, "index") == [MINE]
    assert (note(app, "notebooks/slots"), foot(app, "notebooks/slots")) == ("", [])
    assert foot(app, "book/method") == []
    for name in ("index", "book/claims", "notebooks/slots"):
        assert marks(app, name) == []


@pytest.mark.parametrize(
    ("state", "more", "says", "mark", "own_page_adds"),
    [
        ("stale", {"current": False, "at": MEASURED}, OLDER, "older numbers", ""),
        ("stale", {"current": False, "figures": False}, OLDER, "older numbers", f" {LEFT_OUT}"),
        (
            "unstable",
            NOISY,
            f"{TRIED} was too noisy (C05: CPU pressure). The numbers shown are of {OLD}",
            "too noisy",
            "",
        ),
        (
            "unstable",
            {"at": ATTEMPT, "reasons": (FAR,)},
            f"{TRIED} is held back: {FAR}. It counts when a second one agrees. "
            f"The numbers shown are of {OLD}",
            "held back",
            "",
        ),
        (
            "unstable",
            {"at": ATTEMPT, "reasons": ("C13: blocks", FAR)},
            f"{TRIED} was too noisy (C13: blocks; {FAR}). The numbers shown are of {OLD}",
            "too noisy",
            "",
        ),
        (
            "rejected",
            {**WRONG, "current": False},
            f"{TRIED} was rejected (the data refute C05). The numbers shown are of {OLD} {CHANGED}",
            "rejected",
            "",
        ),
    ],
)
def test_numbers_that_are_not_plainly_accepted_bear_a_mark_and_the_foot_says_why(
    book: Path, state: str, more: dict[str, Any], says: str, mark: str, own_page_adds: str
) -> None:
    put_state(book, state, **more)
    app = clean(book)
    assert foot(app, "index") == [MINE, says.replace("{it}", "Slots")]
    # One mark a paragraph, behind the first number of the chapter.
    assert marks(app, "index") == [mark]
    shown = plain(html(app, "index"))
    assert f"C05 · supported {mark} and 6.1 ×" in shown
    own = says.replace("{it}", "this chapter") + own_page_adds
    assert note(app, "notebooks/slots") == own[0].upper() + own[1:]
    stamp = html(app, "notebooks/slots").partition('class="measured-stamp"')[2].partition("</p>")[0]
    assert f'class="state-badge state-{state}"' in stamp
    assert "This machine, 22 November 2026, A Processor" in stamp
    assert marks(app, "book/claims").count(mark) == 3  # the ledger's row, the entry, its evidence
    assert f'class="state-badge state-{state}"' in html(app, "book/how")
    assert foot(app, "book/method") == []
    published = data(app, "claims")["claims"]
    assert (published[0]["state"], published[0]["machine"]) == (state, "this machine")


@pytest.mark.parametrize(
    ("state", "reasons", "says"),
    [
        ("missing", (), "Slots has not been measured on this machine: no number is shown."),
        ("rejected", ("a cell raised ValueError",), "so no number is shown"),
        ("unstable", (FAR,), "so no number is shown"),
    ],
)
def test_without_any_evidence_every_page_says_so_and_has_no_number(
    book: Path, state: str, reasons: tuple[str, ...], says: str
) -> None:
    (book / "_build" / "evidence" / "slots.json").unlink()
    at = None if state == "missing" else ATTEMPT
    put_state(book, state, reasons=reasons, at=at)
    app = clean(book)
    (text,) = foot(app, "index")
    assert says in text
    assert wording.NOT_MEASURED in html(app, "index")
    assert marks(app, "index") == []
    for file in Path(app.outdir).rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert "claim-strip" not in text
        assert not re.search(r"\b6\.1\b|5\.8–6\.4|0\.12\b", text), file
    assert not Path(app.outdir, "data", "slots.json").exists()


# The reference, where this machine has no numbers

SHOWS = "The numbers shown are the reference machine’s."


@pytest.mark.parametrize(
    ("own", "state", "says"),
    [
        (None, {}, ""),
        (None, {"state": "missing"}, ""),
        (None, {"state": "rejected", **WRONG}, "was rejected (the data refute C05). " + SHOWS),
        (None, {"state": "unstable", **NOISY}, "was too noisy (C05: CPU pressure). " + SHOWS),
        (
            evidence(claims=(claim(effect=effect(refused=(finding(),)), verdict="inconclusive"),)),
            {},
            "was too noisy (C05: steal). " + SHOWS,
        ),
        (
            evidence(claims=(claim(effect=None, verdict="not measured", missing=("nginx",)),)),
            {},
            "Slots needs what this machine lacks: nginx.",
        ),
    ],
)
def test_the_reference_is_shown_where_this_machine_has_no_whole_evidence(
    book: Path, own: Evidence | None, state: dict[str, Any], says: str
) -> None:
    (book / "_build" / "evidence" / "slots.json").unlink()
    if own is not None:
        put(book, own)
    if state:
        put_state(book, **state)
    put_reference(book, evidence(claims=(claim(effect=effect(7.0, 6.5, 7.5)),), executed=CELLS))
    app = clean(book)
    assert "7\u00a0× (6.5–7.5)" in html(app, "index")
    assert marks(app, "index") == []
    whose, *why = foot(app, "index")
    assert whose == THEIRS
    assert [said.endswith(says) for said in why] == [True] * bool(says)
    slots = plain(html(app, "notebooks/slots"))
    assert "Reference machine, 20 November 2026, A Processor" in slots
    assert LEFT_OUT not in slots
    assert note(app, "notebooks/slots").endswith(says.replace("Slots", "This chapter"))
    assert "Numbers of : reference machine, 20 November 2026" in plain(html(app, "book/claims"))
    assert data(app, "slots")["measured_at"].startswith("2026-11-20")
    assert data(app, "claims")["claims"][0]["machine"] == "reference machine"
    how = html(app, "book/how")
    assert rows(how, "states")[1][2].startswith("reference machine, 2026-11-20 08:00 UTC, ")
    assert "Reference machine Processor" in plain(how)


def test_own_evidence_takes_the_place_of_the_reference_when_it_appears(book: Path) -> None:
    mine = book / "_build" / "evidence" / "slots.json"
    text = mine.read_text()
    mine.unlink()
    put_reference(book, evidence(claims=(claim(effect=effect(7.0, 6.5, 7.5)),), executed=CELLS))
    assert "7\u00a0× (6.5–7.5)" in html(clean(book), "index")
    mine.write_text(text)
    app, read = build(book)
    assert read == {"index", "book/claims", "book/how", "notebooks/slots"}
    assert "6.1\u00a0× (5.8–6.4)" in html(app, "index")
    assert foot(app, "index") == [MINE]
    mine.unlink()
    app, read = build(book)
    assert read == {"index", "book/claims", "book/how", "notebooks/slots"}
    assert foot(app, "index") == [THEIRS]
    touch(book / "book" / "records" / "reference" / "slots.json")
    assert build(book)[1] == {"index", "book/claims", "book/how", "notebooks/slots"}


def test_a_mark_stands_where_the_machine_is_not_the_page_s_and_nowhere_else(book: Path) -> None:
    put_reference(book, evidence(notebook="later", claims=(claim(id="C13", notebook="later"),)))
    words = "{measured}`C13.effect`\n\n{measured}`C05.effect` {measured}`C05.theory`\n\n"
    (book / "book" / "method.md").write_text(f"# Method\n\n{words}{{claim}}`C05` {{claim}}`C07`\n")
    app = clean(book)
    assert marks(app, "book/method") == ["reference machine"]
    assert "6.1 × (5.8–6.4) reference machine" in plain(html(app, "book/method"))
    both, *_ = foot(app, "book/method")
    assert "this machine, 22 November 2026 (1 chapter)" in both
    assert "reference machine, 20 November 2026 (1 chapter" in both


def test_other_code_than_the_reference_s_is_said_and_has_no_outputs(book: Path) -> None:
    (book / "_build" / "evidence" / "slots.json").unlink()
    put_reference(book, evidence(executed={"cells": [{"cell_type": "code", "source": "1 + 1"}]}))
    app = clean(book)
    assert note(app, "notebooks/slots") == LEFT_OUT
    assert "(1 chapter, the code of 1 has changed since)" in foot(app, "index")[0]


def test_each_figure_of_a_chapter_is_signed_and_leads_to_its_data() -> None:
    page = nodes.document(None, None)  # type: ignore[arg-type]
    first, second = nodes.section(), nodes.section()
    page += [first]
    first += nodes.paragraph("", "raw data", classes=["measured-stamp"])
    for section in (first, second):
        figure = nodes.raw("", "<figure><figcaption>Waits.</figcaption></figure>", format="html")
        section += nodes.container("", figure)
    first += second
    sign_figures(page, "reference machine, 20 November 2026", "../data/slots.json")
    near, far = page.findall(nodes.raw)
    assert plain(near.astext()) == "Waits. reference machine, 20 November 2026"
    assert plain(far.astext()) == "Waits. reference machine, 20 November 2026 · data"
    assert '<a href="../data/slots.json">data</a></figcaption></figure>' in far.astext()
    assert near.astext().endswith("</figcaption></figure>")


def test_the_conditions_of_the_servers_stand_at_the_foot_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = nodes.document(None, None)  # type: ignore[arg-type]
    section = nodes.section()
    page += section
    for told in ("uvicorn; one client.", "uvicorn & waitress; two clients."):
        monkeypatch.setattr(f"{conditions_so_far.__module__}.sentence", lambda *_, t=told: t)
        figure = Picture("<svg/>", "alt", "Waits.", conditions_so_far())
        section += nodes.raw("", figure._repr_html_(), format="html")
    sign_figures(page, "reference machine", "../data/slots.json")
    conditions.gather(cast(Sphinx, None), page)
    for node in page.findall(nodes.raw):
        said = "Waits. Conditions · reference machine · data"
        assert plain(node.astext()) == said
        assert 'href="#conditions"' in node.astext()
    (foot,) = (one for one in page.findall(nodes.paragraph) if one["ids"] == ["conditions"])
    assert foot.astext().endswith("on this page: uvicorn & waitress; two clients.")


def test_a_claim_has_one_badge_on_a_page(book: Path) -> None:
    text = "{claim}`C05` says it, and {claim}`C05` again."
    (book / "book" / "method.md").write_text(f"# Method\n\n{text}\n")
    with (book / "notebooks" / "slots.md").open("a") as chapter:
        chapter.write(f"\n{text}\n")  # it has the claim's card
    app = clean(book)
    assert "C05 · supported says it, and C05 again." in plain(html(app, "book/method"))
    assert "C05 says it, and C05 again." in plain(html(app, "notebooks/slots"))
    for name in ("book/method", "notebooks/slots"):
        assert html(app, name).count('"claim-badge') == 1
        assert html(app, name).count("claims.html#c05") >= 2


def test_words_link_a_claim_and_show_a_badge_only_if_it_does_not_stand(book: Path) -> None:
    (book / "book" / "method.md").write_text("# Method\n\n{claim}`So it is <C05>`.\n")
    page = html(clean(book), "book/method")
    assert re.search(r'href="claims.html#c05"><span[^>]*>So it is</span></a>\.', page)
    assert "claim-badge" not in page
    put(book, evidence(claims=(claim(verdict="inconclusive"),)))
    assert "So it is C05 · inconclusive" in plain(html(build(book)[0], "book/method"))


def test_a_card_names_its_chapter_on_other_pages_only(book: Path) -> None:
    (book / "book" / "method.md").write_text("# Method\n\n```{claim-card} C05\n```\n")
    app = clean(book)
    elsewhere, there = (card(app, name)[1] for name in ("book/method", "notebooks/slots"))
    assert "Ledger : C05" in elsewhere
    assert "Ledger : C05" in there
    assert "Chapter : Slots · raw data" in elsewhere
    assert "Chapter" not in there


def test_the_data_of_a_figure_lie_where_its_page_says(book: Path) -> None:
    figure = "## See\n\n```{raw} html\n<figure><figcaption>Waits.</figcaption></figure>\n```\n"
    with (book / "notebooks" / "slots.md").open("a") as chapter:
        chapter.write(f"\n{figure}")
    app = clean(book)
    found = re.search(r'<a href="([^"]*)">data</a></figcaption>', html(app, "notebooks/slots"))
    assert found is not None
    assert Path(app.outdir, "notebooks", found[1]).samefile(Path(app.outdir, "data", "slots.json"))


def test_refused_numbers_of_incomplete_evidence_are_printed_nowhere(book: Path) -> None:
    refused = effect(7.77, 7.11, 7.99, floor=7.33, refused=(finding(),))
    limits = {"theory": float("nan"), "threshold": float("inf"), "rule": "at least inf"}
    put(book, evidence(claims=(claim(verdict="inconclusive", effect=refused, **limits),)))
    (book / "book" / "method.md").write_text("# Method\n\n{measured}`C05.theory`\n")
    app, _ = build(book)
    assert foot(app, "index") == [
        MINE, "The measurement of Slots was disturbed (C05: steal). What was refused is left out."
    ]  # fmt: skip
    assert marks(app, "index") == ["too noisy"]
    for file in Path(app.outdir).rglob("*.html"):
        told = file.read_text(encoding="utf-8")
        assert not re.search(r"7\.77|7\.11|7\.99|7\.33|\bnan\b|\binf\b", told), file
    assert wording.REFUSED in html(app, "index")
    assert wording.REFUSED in html(app, "book/method")


def test_a_claim_that_noise_leaves_inconclusive_says_why_and_needs_no_mark(book: Path) -> None:
    noisy, why = builders.quieted(effect(), 1.1, 6.4), "what was lost to others can explain it"
    disputed = claim(verdict="inconclusive", effect=noisy, disturbed=6, why=why)
    put(book, evidence(claims=(disputed,)))
    app = clean(book)
    for name in ("index", "notebooks/slots"):
        assert marks(app, name) == []
    page = plain(html(app, "notebooks/slots"))
    assert "C05 inconclusive" in page
    assert "6.1\u00a0× (5.8–6.4)" in html(app, "notebooks/slots")
    assert "Disturbed : 6 of 6 blocks" in page
    assert "Inconclusive, because : what was lost to others can explain it" in page
    assert "C05 · inconclusive" in plain(html(app, "index"))
    ledger = html(app, "book/claims")
    entry = plain(ledger[ledger.index('id="c05">') : ledger.index('id="c07">')])
    assert "Numbers of : this machine, 22 November 2026" in entry
    published = data(app, "claims")["claims"]
    assert (published[0]["verdict"], published[0]["state"]) == ("inconclusive", "accepted")


def test_a_card_shows_versions_and_disturbed_blocks_only_where_there_are_any(book: Path) -> None:
    put(book, evidence(claims=(claim(versions="Django 5.2 and `uvicorn` 0.38", disturbed=2),)))
    page = html(build(book)[0], "notebooks/slots")
    assert "Versions : Django 5.2 and uvicorn 0.38" in plain(page)
    assert "Disturbed : 2 of 6 blocks; the verdict is the same" in plain(page)
    assert "Inconclusive" not in page
    put(book, evidence(claims=(claim(),)))
    page = html(build(book)[0], "notebooks/slots")
    assert "Disturbed" not in page
    assert "Versions" not in page


def test_the_table_of_trials_tells_those_that_are_used_though_disturbed(book: Path) -> None:
    marked = trial("a", 0, [0.1] * 3, findings=(finding("run queue"),))
    used = [marked, trial("a", 1, [0.1] * 3), trial("a (again)", 0, [0.1] * 3)]
    series = comparison("waiting", used, labels=["a"]).model_copy(
        update={"rejected": (trial("a", 1, [0.2], findings=(finding("sent", "generator"),)),)}
    )
    put(book, evidence(comparisons=(series,)))
    app, _ = build(book)
    how = html(app, "book/how")
    heads = "Configuration Used of which disturbed Measured again Sent Errors Found"
    assert heads in plain(how.partition("trials-table")[2])
    assert rows(how, "trials-table") == [
        ["a", "2", "1", "1", "2 of 2", "0", "run queue, sent"],
        ["a (again)", "1", "0", "0", "1 of 1", "0", "–"],
    ]
    (run,) = data(app, "environment")["runs"]
    assert (run["trials_disturbed"], run["trials_measured_again"]) == (1, 1)


def test_the_foot_names_every_notebook_and_the_gravest_first(book: Path) -> None:
    put_state(book, "rejected", at=ATTEMPT, reasons=("<b>odd</b>",))
    app, _ = build(book)
    _, first, second = foot(app, "book/claims")
    assert "measure Slots" in first
    assert "Later has not been measured" in second
    assert "<b>odd" not in html(app, "book/claims")


def test_notebooks_that_are_alike_share_a_sentence(book: Path) -> None:
    put(book, evidence(notebook="later", claims=()))
    for stem in ("third", "fourth"):
        text = f"---\norphan: true\n---\n# {stem.title()}\n"
        (book / "notebooks" / f"{stem}.md").write_text(text)
    for stem in ("slots", "later"):
        put_state(book, "stale", stem, current=False)
    app, _ = build(book)
    assert foot(app, "book/claims") == [
        MINE.replace("1 chapter", "2 chapters"),
        OLDER.replace("{it}", "Later and Slots"),
        "Fourth and Third have not been measured on this machine: no number is shown.",
    ]


def test_a_claim_of_a_notebook_that_is_not_written_yet_is_not_measured(book: Path) -> None:
    (book / "notebooks" / "later.md").unlink()
    tree = TREE.replace("notebooks/later\n", "")
    (book / "index.md").write_text("# Front\n\n{claim}`C13`\n" + tree)
    app = clean(book)
    assert foot(app, "index") == [
        "later has not been measured on this machine: no number is shown."
    ]


def test_a_page_that_only_cites_needs_no_foot(book: Path) -> None:
    put_state(book, "stale", current=False)
    (book / "book" / "method.md").write_text("# Method\n\n{claim}`C07`\n")
    app, _ = build(book)
    assert (foot(app, "book/method"), marks(app, "book/method")) == ([], [])


def test_the_table_of_states_says_when_and_why(book: Path) -> None:
    put_state(book, "rejected", at=ATTEMPT, reasons=("the data refute C05",), current=False)
    app, _ = build(book)
    assert [" ".join(row) for row in rows(html(app, "book/how"), "states")] == [
        "Later not measured – 1 not measured",
        "Slots rejected attempt of 2026-11-23 10:20 UTC: the data refute C05; "
        "the code, a version or the machine has changed since "
        "this machine, 2026-11-22 08:00 UTC, took 3:00 min 1 supported",
    ]
    assert 'href="../data/environment.json"' in html(app, "book/how")


def test_the_table_of_states_counts_the_verdicts_of_each_chapter(book: Path) -> None:
    found = zip(("C05", "C06", "C08"), ("inconclusive", "supported", "supported"), strict=True)
    claims = (*(claim(id=one, verdict=said) for one, said in found), claim(id="C07", kind="cited"))
    put(book, evidence(claims=claims))
    app, _ = build(book)
    counts = {row[0]: row[3] for row in rows(html(app, "book/how"), "states")}
    assert counts == {"Later": "1 not measured", "Slots": "2 supported, 1 inconclusive"}


def test_a_changed_state_rebuilds_exactly_the_pages_that_quote_the_notebook(book: Path) -> None:
    build(book)
    put_state(book, "stale", current=False)
    app, read = build(book)
    assert read == {"index", "book/claims", "book/how", "notebooks/slots"}
    assert len(foot(app, "index")) == 2
    _, read = build(book)
    assert read == set()
    put_state(book, "accepted")
    touch(book / "_build" / "state" / "slots.json")
    app, read = build(book)
    assert read == {"index", "book/claims", "book/how", "notebooks/slots"}
    assert foot(app, "index") == [MINE]


@pytest.mark.parametrize("text", ["{", '{"notebook": "slots", "state": "missing", "since": ""}'])
def test_evidence_speaks_for_itself_without_a_state(root: Path, shelf: Shelf, text: str) -> None:
    shelf.states.mkdir()
    shelf.state_path("slots").write_text(text)
    assert shelf.state("slots").state == "accepted"


def test_addresses_come_from_the_environment(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOK_SITE_URL", "https://example.org/measured")
    app, _ = build(book)
    sitemap = Path(app.outdir, "sitemap.xml").read_text(encoding="utf-8")
    assert "<loc>https://example.org/measured/index.html</loc>" in sitemap
    assert sitemap.count("<loc>") == len(PAGES)


@pytest.mark.parametrize("host", ["github.com", "gitlab.example"])
def test_a_chapter_offers_its_executed_notebook_and_on_github_a_codespace(
    book: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("BOOK_REPOSITORY_URL", f"https://{host}/some/book/")
    with (book / "conf.py").open("a") as conf:
        conf.write("html_theme = 'sphinx_book_theme'\n")
    kernel = "---\nkernelspec:\n  name: python3\n---\n"
    for stem in ("slots", "later"):
        file = book / "notebooks" / f"{stem}.md"
        file.write_text(kernel + file.read_text())
    app, _ = build(book)
    slots, later, method = (
        html(app, name) for name in ("notebooks/slots", "notebooks/later", "book/method")
    )
    assert ('href="slots.ipynb"' in slots, "later.ipynb" in later) == (True, False)
    assert ".ipynb" not in method
    wanted = host == "github.com"
    for text, offers in ((slots, wanted), (later, wanted), (method, False)):
        assert ('href="https://codespaces.new/some/book"' in text) is offers
        assert "mybinder" not in text


CHANGES = (
    "# Changelog\n\nNewest first.\n\n"
    "## 0.2.0, not released yet (2026-11-30)\n\n- A `<b>` & more.\n\n"
    "## 0.1.0 (2026-10-01)\n\n- The first.\n- The second.\n"
)
ATOM = {"atom": "http://www.w3.org/2005/Atom"}


def test_the_changelog_is_a_feed_dated_by_its_headings(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (book / "CHANGELOG.md").write_text(CHANGES)
    front = book / "index.md"
    front.write_text(front.read_text().replace("notebooks/later\n", "notebooks/later\nCHANGELOG\n"))
    monkeypatch.setenv("BOOK_SITE_URL", "https://example.org/measured")
    app = clean(book)
    path = Path(app.outdir, "changelog.xml")
    first, feed = path.read_bytes(), ElementTree.parse(path).getroot()

    def texts(where: str) -> list[str | None]:
        return [one.text for one in feed.findall(where, ATOM)]

    site = "https://example.org/measured/"
    assert texts("atom:id") == [f"{site}changelog.xml"]
    assert texts("atom:updated") == ["2026-11-30T00:00:00Z"]
    assert texts("atom:entry/atom:updated") == ["2026-11-30T00:00:00Z", "2026-10-01T00:00:00Z"]
    assert texts("atom:entry/atom:id") == [f"{site}CHANGELOG.html#{v}" for v in ("0.2.0", "0.1.0")]
    assert texts("atom:entry/atom:content") == [
        "<p>A &lt;b&gt; &amp; more.</p>", "<p>The first.</p><p>The second.</p>",
    ]  # fmt: skip
    assert len(texts("atom:author/atom:name")) == 1
    for name, address in (("index", ""), ("book/method", "../")):
        assert f'type="application/atom+xml" title="Changelog" href="{address}changelog.xml"' in (
            html(app, name)
        )
    assert 'href="changelog.xml">Follow it as a feed</a>' in html(app, "CHANGELOG")
    build(book)
    assert path.read_bytes() == first
    monkeypatch.delenv("BOOK_SITE_URL")
    app = clean(book)
    assert not path.exists()
    assert "changelog.xml" not in html(app, "index") + html(app, "CHANGELOG")


def test_a_heading_of_the_changelog_without_a_day_is_a_warning(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (book / "CHANGELOG.md").write_text(CHANGES.replace(" (2026-10-01)", ""))
    monkeypatch.setenv("BOOK_SITE_URL", "https://example.org/")
    assert "a feed wants headings like" in build(book)[0].warning.getvalue()


def test_a_card_stands_under_each_cell_that_states_a_claim() -> None:
    cell = '```{code-cell} python\nx = 1\nclaim(\n    "C05", x,\n)\n```'
    text = f'{cell}\n\nNext `claim("C06")`.\n'
    with_card = claimed._CELL.sub(claimed._with_card, text)
    card = "```{claim-card} C05\n```"
    assert with_card == text.replace(cell, f"{cell}\n\n{card}")


def card(app: SphinxTestApp, name: str) -> tuple[str, str]:
    """The words of a page's only card: the line, and what it opens."""
    (inside,) = re.findall(
        r'<div class="claim-card[^"]*">\s*<details>(.*?)</details>', html(app, name), re.S
    )
    line, _, opened = inside.removeprefix("<summary>").partition("</summary>")
    return plain(line), plain(opened)


def test_a_card_is_one_line_with_its_number_and_says_nothing_twice(book: Path) -> None:
    line, opened = card(build(book)[0], "notebooks/slots")
    statement = WORDS["statement"].replace("`", "").removesuffix(".")
    assert line == f"C05 supported {statement} . 6.1 × (5.8–6.4)"
    assert opened.startswith(f"People say “{WORDS['title']}” false {WORDS['nuance']}")
    assert "Measured : median latency, one slot to eight" in opened
    assert opened.count("failed") == 1
    for said in (statement, "6.1 ×", "supported"):
        assert said not in opened


def test_an_entry_of_the_ledger_has_what_people_say_as_its_heading_only(book: Path) -> None:
    ledger = html(build(book)[0], "book/claims")
    entry = plain(ledger.partition('id="c05">')[2].partition('id="c07">')[0])
    assert entry.startswith(f"C05: {WORDS['title']}")
    assert entry.count(WORDS["title"]) == 1
    assert f"What people say false {WORDS['nuance']}" in entry


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("refuted", "failed"),
        ("supported", "came out supported: it should have failed"),
    ],
)
def test_a_card_says_whether_its_control_failed(book: Path, verdict: str, says: str) -> None:
    control = claim().sabotage
    assert control is not None
    put(book, evidence(claims=(claim(sabotage=control.model_copy(update={"verdict": verdict})),)))
    opened = card(build(book)[0], "notebooks/slots")[1]
    assert f"Control, must fail : b ÷ b: 1 × (0.9–1.1), {says} " in opened


def test_what_a_cell_prints_about_a_claim_is_taken_off_the_page() -> None:
    page = nodes.document(None, None)  # type: ignore[arg-type]
    page += nodes.raw("", '<div class="claim-line verdict-supported">C05</div>', format="html")
    page += nodes.raw("", "<figure>kept</figure>", format="html")
    claimed.remove_lines(cast(Sphinx, None), page)
    assert [node.astext() for node in page.children] == ["<figure>kept</figure>"]
