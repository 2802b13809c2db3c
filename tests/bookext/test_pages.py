"""The pages that are made from claims: comparison, myths, the model's figure, the calculator."""

from __future__ import annotations

import json
import math
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bookext import calculator, chooser, loads, myths, points, slotmodel, wording
from bookext.comparison import read_rows
from bookext.standings import NO_CLAIM, doubt

from gatewaylab.model import queueing
from gatewaylab.model.arrivals import Closed, ConstantRate, Poisson
from gatewaylab.records.evidence import ClaimRecord, Evidence
from gatewaylab.records.results import AGAIN, PREDICTED, Comparison, Expected, Readings, Trial
from gatewaylab.records.storage import save
from tests import ROOT, builders
from tests.bookext import site

TABLE = """
[[row]]
name = "Type"
claim = "C28"
wsgi = { people = "sync", word = "`many` threads", answer = "one `thread` a call" }
asgi = { people = "async", word = "one", answer = "one thread for many", claim = "C16" }
"""
PAGES = {
    "index": "# Front\n\n```{toctree}\nbook/claims\nbook/method\nbook/comparison\nbook/myths\n"
    "book/model\nbook/which\n```\n",
    "book/claims": "# Ledger\n\n```{claims-ledger}\n```\n\n```{claim-entries}\n```\n\n"
    "```{trials-table}\n```\n",
    "book/method": "# Method\n\nWords.\n",
    "book/comparison": "# Comparison\n\n```{comparison-table}\n```\n",
    "book/myths": (
        "# Myths\n\n```{myths-table}\n```\n\n"
        ":::{myth} WSGI can’t `stream`.\n:claims: C28\n\nIt can.\n:::\n\n"
        ":::{myth} ASGI is faster.\n:claims: C28 C16\n:verdict: outdated\n:::\n"
    ),
    "book/model": (
        "# Model\n\nTypically {slot-model}`median-error` of {slot-model}`points`.\n\n"
        "```{slot-model-figure}\n```\n"
    ),
    "book/which": "# Which\n\n```{slot-calculator}\n```\n",
}


def words(name: str) -> dict[str, str]:
    said = {"title": f"people say {name}", "statement": f"the statement of {name}"}
    return {**said, "nuance": f"nuance of {name}"}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "book" / "claims" / "some.toml").write_text(
        builders.entry("C16", common_verdict="true with a nuance", **words("C16"))
        + builders.entry("C28", kind="ratio", common_verdict="false", **words("C28"))
    )
    (tmp_path / "book" / "comparison.toml").write_text(TABLE)
    conf = "myst_enable_extensions = ['colon_fence']\nhtml_static_path = ['static']\n"
    site.write(tmp_path, PAGES, conf)
    static = tmp_path / "static"
    static.mkdir()
    shutil.copy(ROOT / "book" / "assets" / calculator.SCRIPT, static)
    return tmp_path


def build(book: Path) -> tuple[dict[str, str], str, set[str]]:
    """The pages, the warnings, and the pages that were read."""
    app, read = site.build(book)
    pages = {name.removeprefix("book/"): name for name in PAGES if name != "index"}
    html = {short: site.html(app, name) for short, name in pages.items()}
    return html, app.warning.getvalue(), read


def clean(book: Path) -> dict[str, str]:
    """The pages, which go without a warning."""
    pages, warnings, _ = build(book)
    assert warnings == ""
    return pages


def record(name: str, verdict: str = "supported", **more: Any) -> ClaimRecord:
    return builders.claim_record(name, verdict, **words(name) | more)


def put(book: Path, *claims: ClaimRecord, **more: Any) -> None:
    folder = book / "_build" / "evidence"
    folder.mkdir(parents=True, exist_ok=True)
    save(builders.evidence("some", claims=claims, **more), folder / "some.json")


def trial(
    label: str,
    latencies: list[float] | None = None,
    *,
    arrivals: ConstantRate | Poisson | Closed | None = None,
    block: int = 0,
    server: str = "gunicorn-sync",
    **setup: Any,
) -> Trial:
    fields: dict[str, Any] = {"hold": 0.05, "slots": 1, "cpu_bound": False, **setup}
    setup = {"server": {"name": server}, "request": {}, **fields}
    plan = (arrivals or ConstantRate(100)).as_dict()
    return builders.trial(label, block, latencies or [0.05] * 100, setup=setup, arrivals=plan)


def measured(*trials: Trial, notebook: str = "some") -> Evidence:
    labels = list(dict.fromkeys(one.label.removesuffix(AGAIN) for one in trials))
    compared: Comparison = builders.comparison("waiting", trials, labels=labels)
    return builders.evidence(notebook, comparisons=(compared,))


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def cell(page: str, row: int, column: int) -> str:
    rows = page.split("<tbody>")[1].split("</tbody>")[0].split("<tr")[1:]
    return re.sub(r"[ \n]+", " ", re.split(r"<t[dh][ >]", rows[row])[column + 1])


def fold(page: str, row: int) -> tuple[str, str, str]:
    """What opens below a row of the comparison: its line, and what it says of each interface."""
    inside = page.split("<details>")[row + 1].split("</details>")[0]
    line, _, opened = inside.partition("</summary>")
    wsgi, _, asgi = opened.partition('<span class="claim-label">ASGI')
    return line, wsgi, asgi


# What may be said


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["supported"], ""),
        (["supported", "supported"], ""),
        (["supported", "refuted"], "refuted by the measurement"),
        (["inconclusive"], "not decided: the measurement is inconclusive"),
        (["not measured"], wording.NOT_MEASURED),
        ([], NO_CLAIM),
    ],
)
def test_nothing_is_said_unless_every_claim_stands(verdicts: list[str], expected: str) -> None:
    assert doubt([record("C01", verdict) for verdict in verdicts]) == expected


def test_a_cited_claim_stands_and_an_opinion_does_not() -> None:
    cited = record("C06", "not measured", kind="cited")
    assert doubt([cited]) == ""
    assert "opinion" in doubt([record("C41", "not measured", kind="opinion")])
    assert doubt([cited, None]) == NO_CLAIM


# The comparison


def test_a_cell_answers_when_its_claim_is_supported(book: Path) -> None:
    put(book, record("C16"), record("C28", common_verdict="false"))
    pages = clean(book)
    page = pages["comparison"]
    heads, words = site.rows(page, "comparison-table")[0][0], [cell(page, 0, n) for n in (1, 2)]
    assert heads == "Type"
    assert '<span class="pre">many</span></code> threads' in words[0]
    assert site.plain(words[1].partition(">")[2]).split() == ["one"]
    line, wsgi, asgi = fold(page, 0)
    assert "sync / async" in line
    assert "common-false" in line
    assert "nuance of C28" in wsgi[: wsgi.index("WSGI")]
    assert 'one <code class="docutils literal' in wsgi
    assert 'href="claims.html#c28"' in wsgi
    assert "C28 · supported" in site.plain(wsgi)
    assert "one thread for many" in asgi
    assert 'href="claims.html#c16"' in asgi
    assert "nuance of C16" in asgi


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("refuted", "refuted by the measurement"),
        ("inconclusive", "the measurement is inconclusive"),
        ("not measured", "not measured on this machine"),
    ],
)
def test_a_cell_whose_claim_does_not_stand_says_so_and_answers_nothing(
    book: Path, verdict: str, words: str
) -> None:
    put(book, record("C16", verdict), record("C28"))
    page = build(book)[0]["comparison"]
    assert words in cell(page, 0, 2)
    assert site.rows(page, "comparison-table")[0][2] == doubt([record("C16", verdict)])
    assert "one thread for many" not in page
    assert "nuance of C16" not in page
    assert "C16" in fold(page, 0)[2]


def test_without_evidence_no_cell_answers(book: Path) -> None:
    pages = clean(book)
    page = pages["comparison"]
    for place in (fold(page, 0)[0], cell(page, 0, 1), cell(page, 0, 2)):
        assert "not measured on this machine" in place
    assert "one thread for many" not in pages["comparison"]
    assert "common-verdict" not in pages["comparison"]


def test_a_claim_that_does_not_exist_is_a_warning_and_named_in_the_cell(book: Path) -> None:
    (book / "book" / "comparison.toml").write_text(TABLE.replace("C16", "C99"))
    put(book, record("C28"))
    pages, warnings, _ = build(book)
    assert "no claim 'C99'" in warnings
    assert NO_CLAIM in cell(pages["comparison"], 0, 2)
    assert "one thread for many" not in pages["comparison"]


def test_a_broken_table_is_a_warning(book: Path) -> None:
    (book / "book" / "comparison.toml").write_text(TABLE.replace("people", "folk"))
    assert "comparison.toml" in build(book)[1]
    (book / "book" / "comparison.toml").unlink()
    assert "comparison.toml" in build(book)[1]


def test_the_comparison_follows_the_evidence_and_its_own_file(book: Path) -> None:
    build(book)
    assert build(book)[2] == set()
    put(book, record("C16"), record("C28"))
    pages, _, read = build(book)
    assert "book/comparison" in read
    assert "one thread for many" in pages["comparison"]
    (book / "book" / "comparison.toml").write_text(TABLE.replace("for many", "for all"))
    pages, _, read = build(book)
    assert read == {"book/comparison"}
    assert "one thread for all" in pages["comparison"]


def test_the_book_s_table_has_the_rows_of_the_explainer() -> None:
    rows = read_rows(ROOT / "book" / "comparison.toml")
    assert " ".join(row.claim for row in rows) == "C28 C29 C30 C22 C31 C32 C33 C34 C09"


def test_a_row_may_judge_what_people_say_apart_from_its_claim_s_own_statement(book: Path) -> None:
    judged = TABLE.replace('claim = "C28"', 'claim = "C28"\nverdict = "outdated"')
    (book / "book" / "comparison.toml").write_text(judged)
    put(book, record("C16"), record("C28", common_verdict="true"))
    assert "common-outdated" in fold(build(book)[0]["comparison"], 0)[0]
    put(book, record("C16"), record("C28", "inconclusive"))
    assert "common-outdated" not in build(book)[0]["comparison"]


# Myths


def test_a_myth_is_judged_by_its_claims(book: Path) -> None:
    put(book, record("C16"), record("C28"))
    pages = clean(book)
    page = pages["myths"]
    first, second = page.split('id="myth-wsgi-cant-stream"')[1].split('id="myth-asgi-is-faster"')
    assert "common-false" in first  # the claim's own verdict on what people say
    assert "It can." in first
    assert "the statement of C28" in first
    assert "6\u00a0× (5–7)" in first
    assert 'href="claims.html#c28"' in first
    assert "common-outdated" in second  # the page's, since both claims stand
    assert "the statement of C16" in second


def test_the_table_counts_the_myths_of_its_page(book: Path) -> None:
    put(book, record("C16", "inconclusive"), record("C28"))
    page = build(book)[0]["myths"]
    assert "2 myths: 1 false, 1 not decided here." in page
    assert 'href="#myth-wsgi-cant-stream"' in cell(page, 0, 0)
    assert "common-false" in cell(page, 0, 1)
    assert "the measurement is inconclusive" in cell(page, 1, 1)
    assert "common-outdated" not in page


def test_a_myth_with_an_unknown_verdict_or_claim_is_a_warning(book: Path) -> None:
    text = PAGES["book/myths"]
    (book / "book" / "myths.md").write_text(text.replace("outdated", "nonsense"))
    assert "nonsense" in build(book)[1]
    put(book, record("C28"))
    (book / "book" / "myths.md").write_text(text.replace("C28 C16", "C28 C99"))
    pages, warnings, _ = build(book)
    assert "no claim 'C99'" in warnings
    assert NO_CLAIM in pages["myths"]


@pytest.mark.parametrize(
    ("sentence", "anchor"),
    [
        ("WSGI can't stream.", "myth-wsgi-cant-stream"),
        ("`gthread` stops slowloris.", "myth-gthread-stops-slowloris"),
    ],
)
def test_a_myth_has_a_readable_anchor(sentence: str, anchor: str) -> None:
    assert myths.slug(sentence) == anchor


# The model against the measurements


def test_one_slot_under_too_much_load_is_predicted_by_lindley() -> None:
    plan = np.arange(100) / 100.0
    waits = queueing.lindley(plan, 0.05)
    exact = (waits + 0.05).tolist()
    found = points.collect([measured(trial("one", exact))])
    (point,) = found.points
    assert point.predicted == pytest.approx(sorted(exact)[49])
    assert point.error == pytest.approx(0)
    assert (point.interface, point.slots, point.trials, point.kind) == ("wsgi", 1, 1, "latency")


def test_the_error_is_a_share_of_the_prediction() -> None:
    slow, fast = trial("slow", [0.06] * 100, slots=None), trial("fast", [0.05] * 100, slots=8)
    found = points.collect([measured(slow, fast)])
    far = points.errors(found.points)
    assert far is not None
    assert far.largest == pytest.approx(0.2)
    assert far.worst.label == "slow"
    assert far.median == pytest.approx(0.1)


def test_a_twin_and_its_second_trial_are_one_point() -> None:
    found = points.collect([measured(trial("one"), trial("one" + AGAIN), trial("one", block=1))])
    assert [point.trials for point in found.points] == [3]


def test_clients_in_a_closed_model_are_predicted_by_the_busy_slots() -> None:
    one = trial("two of four", [0.05] * 40, arrivals=Closed(4), slots=2, hold=0.05)
    free = trial("free", [0.05] * 40, arrivals=Closed(4), slots=None, hold=0.05, server="uvicorn")
    found = points.collect([measured(one, free)])
    assert {p.kind for p in found.points} == {"throughput"}
    assert [p.predicted for p in found.points] == [40.0, 80.0]
    assert found.points[0].measured == one.throughput


def test_readings_with_a_prediction_are_points_in_the_same_units() -> None:
    def read(unit: str, label: str, **more: Any) -> Readings:
        values = {label: {0: 60.0, 1: 80.0}, label + AGAIN: {0: 66.0}, "other": {0: 1.0}}
        return Readings(
            name="read", what="w", unit=unit, labels=(label, "other"), twin=label, blocks=2,
            seed=0, values=values, **more,
        )  # fmt: skip

    slots = Expected(interface="wsgi", slots=3, value=60.0)
    silent = Expected(interface="asgi", slots=None, value=1.0)
    wait = read("ms", "wait", expected={"wait": slots})
    answer = read("/s", "answer", expected={"answer": slots, "other": silent})
    readings = (wait, answer, read("MiB", "memory"))
    found = points.collect([builders.evidence("some", readings=readings)])
    assert [(p.label, p.kind, p.interface, p.slots, p.trials) for p in found.points] == [
        ("wait", "latency", "wsgi", 3, 3),
        ("answer", "throughput", "wsgi", 3, 3),
        ("other", "throughput", "asgi", None, 1),
    ]
    assert [p.error for p in found.points] == pytest.approx([0.1, 0.1, 0.0])
    assert [p.measured for p in found.points] == pytest.approx([0.066, 66.0, 1.0])
    assert points._READ.keys() == {*PREDICTED}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"cpu_bound": True}, "limited by the processor"),
        ({"hold": None}, "without a fixed hold time"),
        ({"hold": 0.0}, "without a fixed hold time"),
        ({"server": "a stranger"}, "does not know"),
        ({"arrivals": Closed(4, think=1.0)}, "pause"),
        ({"latencies": [math.inf] * 100}, "deadline"),
    ],
)
def test_a_set_up_that_the_model_cannot_predict_is_left_out_and_counted(
    changed: dict[str, Any], reason: str
) -> None:
    found = points.collect([measured(trial("odd", **changed), trial("even"))])
    assert [point.label for point in found.points] == ["even"]
    assert [(reason in why, n) for why, n in found.left_out] == [(True, 1)]


def test_evidence_from_before_holds_were_recorded_is_left_out() -> None:
    setup = {"server": {"name": "uvicorn"}, "request": {}}
    bare = trial("old").model_copy(update={"setup": setup})
    found = points.collect([measured(bare)])
    assert found.points == ()
    assert found.left_out == (("measured before set-ups were recorded in full", 1),)
    assert points.errors(found.points) is None


def test_the_figure_says_what_it_shows_to_those_who_do_not_see_it() -> None:
    worker = trial("a worker", [0.05] * 100, slots=8)
    loop = trial("a loop", [0.055] * 100, slots=None, server="uvicorn")
    clients = trial("clients", [0.05] * 40, arrivals=Closed(4), slots=2)
    found = points.collect([measured(worker, loop, clients)])
    picture = slotmodel.draw(found)
    assert "3 trials of 1 chapter" in picture.caption
    off = "2 set-ups, typical deviation 5.0\u00a0%, largest 10\u00a0% (a loop, in some)"
    assert off in picture.caption
    assert "diagonal" in picture.alt
    assert "A fixed number of clients" in picture.alt
    assert "WSGI (1)" in picture.svg
    assert "ASGI (1)" in picture.svg
    assert slotmodel.draw(found).svg == picture.svg


def test_the_page_shows_figure_rows_and_numbers(book: Path) -> None:
    shown = measured(trial("a worker", [0.06] * 100, slots=8))
    put(book, record("C16"), record("C28"), comparisons=shown.comparisons)
    pages = clean(book)
    assert 'href="#slot-model"' in pages["model"]
    assert "20\u00a0%" in pages["model"].split("<figure")[0]
    assert "<svg" in pages["model"]
    assert "a worker" in cell(pages["model"], 0, 0)
    assert "+20\u00a0%" in cell(pages["model"], 0, 5)


def test_without_a_point_the_page_says_what_is_missing(book: Path) -> None:
    pages = clean(book)
    assert slotmodel.NO_POINT in pages["model"]
    assert "<svg" not in pages["model"]
    assert wording.NOT_MEASURED in pages["model"]
    put(book, record("C16"), comparisons=measured(trial("x", cpu_bound=True)).comparisons)
    page = build(book)[0]["model"]
    assert "Set-ups left out: 1 limited by the processor." in page


def test_an_unknown_number_of_the_model_is_a_warning(book: Path) -> None:
    (book / "book" / "model.md").write_text(PAGES["book/model"].replace("points", "luck"))
    assert "no number 'luck'" in build(book)[1]


# The calculator


def test_a_changed_style_sheet_is_published_though_no_page_changed(book: Path) -> None:
    (book / "static" / "own.css").write_text("form { color: red }")
    build(book)
    (book / "static" / "own.css").write_text("form { color: teal }")
    build(book)
    published = book / "_build" / "html" / "_static" / "own.css"
    assert published.read_text() == "form { color: teal }"


def test_the_calculator_is_a_table_until_its_script_runs(book: Path) -> None:
    pages = clean(book)
    form = re.search(r"<form[^>]*>", pages["which"])
    assert form is not None
    assert " hidden" in form[0]
    labels = set(re.findall(r'<label for="([^"]+)"', pages["which"]))
    assert labels == set(re.findall(r'<(?:input|select) id="([^"]+)"', pages["which"]))
    assert pages["which"].count("<td data-rate") == len(calculator.HOLDS) * len(calculator.RATES)


def test_only_pages_with_a_part_load_its_script(book: Path) -> None:
    pages = build(book)[0]
    assert [name for name, page in pages.items() if calculator.SCRIPT in page] == ["which"]


@needs_node
def test_the_script_computes_what_the_table_says(book: Path) -> None:
    page = build(book)[0]["which"]
    cells = re.findall(r'data-rate="([^"]+)" data-hold="([^"]+)" data-slots="([^"]+)"', page)
    asked = [[float(rate) * float(hold), loads.SHARE] for rate, hold, _ in cells]
    asked += [[offered, share] for offered in (0, 0.3, 7.5, 250.1) for share in (0.1, 0.01)]
    expected = [int(slots) for *_, slots in cells]
    expected += [queueing.slots_needed(*each) for each in asked[len(cells) :]]
    assert node(f"{json.dumps(asked)}.map(([a, p]) => slots.slotsNeeded(a, p))") == expected


@needs_node
def test_the_script_words_what_slots_cost() -> None:
    light = sayings(rate=20, hold=250)
    assert light["busy"] == "5"
    assert light["threads"] == f"{queueing.slots_needed(5.0)} threads in one worker"
    assert light["loop"] == "1 event loop, if nothing blocks"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_adds_slow_requests_and_gives_each_worker_its_part() -> None:
    mixed = sayings(rate=36, hold=80, slowrate=4, slowhold=2000, cores=2)
    busy = 36 * 0.08 + 4 * 2.0
    assert mixed["busy"] == f"{busy:.3g}"
    assert mixed["processes"].startswith(f"{queueing.slots_needed(busy)} processes")
    assert mixed["threads"] == f"{queueing.slots_needed(busy / 2)} threads in each of 2 workers"
    assert mixed["loop"] == "2 event loops, if nothing blocks"


COMMANDS = {
    name: (option, command)
    for name, option, command in re.findall(
        r"^:::\{choice\} (\S+)\n:load:(.*?)\n.*?^```bash\n(.*?)^```",
        (ROOT / "book" / "which.md").read_text("utf-8"), re.DOTALL | re.MULTILINE,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_path_has_the_numbers_of_the_load_that_it_names(name: str) -> None:
    option, command = COMMANDS[name]
    load = chooser.read_load(option)
    for line in command.splitlines():
        if threads := re.findall(r"--threads (\d+)", line):
            assert threads == [str(loads.threads_for(load, command))]
        assert re.findall(r"--workers (\d+)", line) == [str(load.cores)]


def test_the_books_own_example_is_the_form_and_gunicorns_file_and_the_front_page() -> None:
    first = loads.Load()
    assert chooser.read_load(COMMANDS["threads"][0]) == first
    settings = runpy.run_path(str(ROOT / "deploy" / "gunicorn" / "gunicorn.conf.py"))
    assert (settings["threads"], settings["workers"]) == (first.threads, first.cores)
    front = (ROOT / "index.md").read_text("utf-8")
    assert set(re.findall(r"--threads (\d+) --workers (\d+)", front)) == {
        (str(first.threads), str(first.cores))
    }


def test_the_page_counts_the_threads_for_two_hundred_streams() -> None:
    load = loads.Load(rate=0, streams=200)
    said = f"names {load.threads * load.cores} threads"
    assert said in (ROOT / "book" / "which.md").read_text("utf-8")


@needs_node
@pytest.mark.parametrize(
    "load",
    [
        {},
        {"rate": 1, "hold": 2500, "cores": 1, "share": 0.01},
        {"rate": 54.5, "slowrate": 6, "streams": 1, "share": 0.1},
        {"rate": 0, "streams": 200, "cores": 4},
        {"rate": 300, "compute": 20},
    ],
)
@pytest.mark.parametrize("name", COMMANDS)
def test_the_script_says_of_a_command_what_the_page_says(name: str, load: dict[str, float]) -> None:
    command, one = COMMANDS[name][1], loads.Load(**load)  # type: ignore[arg-type]
    found = node(f"slots.fit({json.dumps(vars(one))}, {json.dumps(command)})")
    assert found == {
        "threads": loads.threads_for(one, command),
        "workers": one.cores,
        "says": loads.told(one, command),
    }


def test_a_command_says_for_which_load_it_is_and_how_many_connections_it_opens() -> None:
    one = loads.Load(rate=60, hold=120, cores=2)
    said = loads.told(one, "gunicorn --threads 8 --workers 2").replace("\u00a0", " ")
    assert said == (
        "For 60 requests a second of 120 ms, 2 cores, at most 1 in 20 waiting. gunicorn opens at "
        "most 16 database connections, and up to 32 while a reload replaces its workers."
    )
    assert "connection" not in loads.told(one, "uvicorn --workers 2")
    assert "take more" in loads.told(loads.Load(rate=300, compute=20), "uvicorn")


def sayings(**given: float) -> Any:
    asked = {**vars(loads.Load(cores=1)), **given}
    return node(f"slots.sayings(slots.plan({json.dumps(asked)}))")


def node(expression: str) -> Any:
    script = ROOT / "book" / "assets" / calculator.SCRIPT
    code = f"const slots = require({json.dumps(str(script))}); console.log(JSON.stringify("
    command = ["node", "-e", f"{code}{expression}))"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(found.stdout)
