"""The reference: slim, shown where this machine has nothing whole, renewed whole or not at all."""

from __future__ import annotations

import getpass
import io
import json
import math
import platform
import tempfile
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gatewaylab.errors import BuildError, RefusedError
from gatewaylab.publish import renewal, states
from gatewaylab.publish.book import Book, accepted
from gatewaylab.publish.reference import shown, slimmed
from gatewaylab.publish.renewal import renew
from gatewaylab.publish.states import Attempt, StateRecord
from gatewaylab.records.evidence import Evidence, accept
from gatewaylab.records.results import Digest
from gatewaylab.records.storage import load
from tests import builders
from tests.builders import claim_record, comparison, finding, trial

NOISY = claim_record(
    "C01", "inconclusive", effect=builders.effect(6.0, 5.0, 7.0, refused=(finding(),))
)
LACKING = claim_record("C01", "not measured", effect=None, sabotage=None, missing=("nginx",))
DONE = claim_record("C02")


def measured(name: str = "some", *claims: Any, **more: Any) -> Evidence:
    commit = builders.ENVIRONMENT.model_copy(update={"commit": "0123456789ab"})
    return builders.evidence(name, claims=claims or (DONE,), **{"environment": commit, **more})


@pytest.fixture
def book(tmp_path: Path) -> Book:
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n- file: notebooks/some\n- file: notebooks/other\n"
    )
    return Book(tmp_path)


# Which is shown


@pytest.mark.parametrize(
    ("claims", "own"),
    [
        ((DONE,), True),
        ((DONE, LACKING.model_copy(update={"id": "C03"})), True),
        ((LACKING,), False),
        ((DONE, NOISY), False),
        (None, False),
    ],
)
def test_what_this_machine_measured_whole_is_shown_and_else_the_reference(
    book: Book, claims: tuple[Any, ...] | None, own: bool
) -> None:
    accept(measured(measured_at="2026-11-20T08:00:00+00:00"), book.reference)
    if claims is not None:
        accept(measured("some", *claims, measured_at="2026-11-22T08:00:00+00:00"), book.evidence)
    found = shown(book, "some")
    assert found is not None
    assert found.measured_at[:10] == ("2026-11-22" if own else "2026-11-20")


def test_without_a_reference_this_machine_s_evidence_is_shown_however_it_is(book: Book) -> None:
    assert shown(book, "some") is None
    accept(measured("some", DONE, NOISY), book.evidence)
    assert shown(book, "some") == accepted(book, "some")


# Slim


def test_a_slim_trial_says_what_pages_read_and_refuses_the_rest(tmp_path: Path) -> None:
    one = trial("a", 0, [0.1, 0.2, 0.3, math.inf])
    slim = slimmed(measured(comparisons=(comparison("waiting", [one], labels=["a"]),)))
    (kept,) = load(Evidence, accept(slim, tmp_path)).comparisons[0].trials
    assert kept == slim.comparisons[0].trials[0]
    assert kept.recorded == Digest(requests=4, errors=1, throughput=one.throughput, median=0.2)
    assert (kept.quantile(0.5), kept.throughput, kept.errors) == (0.2, one.throughput, 1)
    assert kept.slimmed() is kept
    with pytest.raises(RefusedError, match=r"'a' was stored without its samples; measure it"):
        kept.quantile(0.25)
    with pytest.raises(RefusedError, match="without its samples"):
        _ = kept.measured


def test_a_trial_without_a_request_in_its_window_has_no_median_when_slim_either() -> None:
    one = trial("a", 0, [0.1]).model_copy(update={"warmup": 5.0})
    slim = one.slimmed()
    assert isinstance(slim.recorded, Digest)
    assert math.isnan(slim.recorded.median)
    for either in (one, slim):
        with pytest.raises(RefusedError):
            either.quantile(0.5)


def test_the_trials_that_the_readme_draws_keep_their_samples() -> None:
    labels = ["one sync worker", "one event loop", "eight threads"]
    trials = [trial(label, block, [0.1] * 3) for label in labels for block in (0, 1)]
    full = measured(
        "slow-requests-and-slots", comparisons=(comparison("blocking", trials, labels=labels),)
    )
    (series,) = slimmed(full).comparisons
    whole = [one for one in series.trials if not isinstance(one.recorded, Digest)]
    assert [(one.label, one.block) for one in whole] == [(label, 0) for label in labels[:2]]


def test_a_digest_is_told_from_samples_and_nothing_else_is(tmp_path: Path) -> None:
    full = measured(comparisons=(comparison("waiting", [trial("a", 0, [0.1])], labels=["a"]),))
    text = accept(slimmed(full), tmp_path).read_text()
    content = json.loads(text)
    content["comparisons"][0]["trials"][0]["samples"].pop("median")
    with pytest.raises(ValueError, match="median"):
        Evidence.model_validate(content)


# Renewed


@pytest.fixture
def reviewed(book: Book, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """By notebook, what makes its state another one than its evidence says."""
    more: dict[str, Any] = {}

    def review(book: Book, path: Path, *_: Any) -> StateRecord:
        return states.derive(path.stem, accepted(book, path.stem), **more.get(path.stem, {}))

    monkeypatch.setattr(renewal, "review", review)
    monkeypatch.setattr(renewal, "servers_table", list)
    monkeypatch.setattr(platform, "node", lambda: "ada-laptop")
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    for name in ("some", "other"):
        accept(measured(name), book.evidence)
    return more


def renewed(book: Book, **more: Any) -> str:
    told = io.StringIO()
    renew(book, Console(file=told, width=500), **more)
    return told.getvalue()


def files(book: Book) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in book.reference.rglob("*")}


def test_the_reference_is_replaced_by_what_is_accepted_here(
    book: Book, reviewed: dict[str, Any]
) -> None:
    accept(measured("gone"), book.reference)
    assert "wrote 2 chapters" in renewed(book)
    assert set(files(book)) == {"some.json", "other.json"}
    assert shown(Book(book.root), "some") == accepted(book, "some")
    assert [path.name for path in book.reference.parent.iterdir()] == ["reference"]


@pytest.mark.parametrize(
    ("own", "more", "says"),
    [
        (None, {}, "some: missing"),
        (measured(), {"current": False}, "some: stale"),
        (measured("some", NOISY), {}, "some: unstable .*C01: steal"),
        (
            measured(),
            {"failed": Attempt("rejected", (), "2026-11-30T10:00:00+00:00")},
            "some: rejected",
        ),
        (measured("some", DONE, LACKING), {}, "some: not measured here are nginx"),
        (
            measured(environment=builders.machine(commit="0123456789ab+dirty")),
            {},
            r"some: measured with code of no commit \(0123456789ab\+dirty\)",
        ),
    ],
)
def test_what_is_not_whole_and_accepted_is_refused_unless_it_is_asked_for(
    book: Book, reviewed: dict[str, Any], own: Evidence | None, more: dict[str, Any], says: str
) -> None:
    (book.evidence / "some.json").unlink()
    if own is not None:
        accept(own, book.evidence)
    accept(measured(finished_at="2026-11-21T08:00:00+00:00"), book.reference)
    reviewed["some"] = more
    before = files(book)
    with pytest.raises(BuildError, match=f"(?s)measure these first .*--anyway:\n{says}"):
        renewed(book)
    assert files(book) == before
    renewed(book, anyway=True)
    assert set(files(book)) == {"some.json", "other.json"}
    assert (files(book)["some.json"] == before["some.json"]) == (own is None)


def test_a_chapter_that_was_measured_nowhere_is_refused_in_any_case(
    book: Book, reviewed: dict[str, Any]
) -> None:
    (book.evidence / "some.json").unlink()
    with pytest.raises(BuildError, match="some: missing"):
        renewed(book, anyway=True)
    assert not book.reference.exists()


def test_two_machines_make_no_reference(book: Book, reviewed: dict[str, Any]) -> None:
    accept(measured(environment=builders.machine(kind="another", commit="1")), book.evidence)
    with pytest.raises(BuildError, match=r"of one machine, .* of 2: .*another"):
        renewed(book, anyway=True)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("served by ada-laptop", "the machine's name"),
        ("ada was here", "the user's name"),
        ("in {home}/apps", "a path in"),
        ("in {temporary}/x", "a path in"),
    ],
)
def test_a_name_in_an_output_is_refused_and_shown(
    book: Book, reviewed: dict[str, Any], said: str, what: str
) -> None:
    places = {"home": Path.home(), "temporary": tempfile.gettempdir()}
    executed = {"cells": [{"cell_type": "code", "source": "", "outputs": said.format(**places)}]}
    accept(measured(executed=executed), book.evidence)
    with pytest.raises(BuildError, match=f"some: {what}.*{said.partition(' {')[0][:6]}"):
        renewed(book, anyway=True)
    assert not book.reference.exists()


def test_paths_begin_at_the_project_and_the_kernel_has_no_build_number(
    book: Book, reviewed: dict[str, Any]
) -> None:
    executed = {"cells": [{"cell_type": "code", "source": "", "outputs": f"{book.root}/deploy/x"}]}
    machine = builders.machine(kernel="6.1.0-ada-special", commit="1")
    accept(measured(executed=executed, environment=machine), book.evidence)
    renewed(book)
    found = shown(book, "some")
    assert found is not None
    text = files(book)["some.json"].decode()
    assert '"outputs":"deploy/x"' in text
    assert '"kernel":"6.1.0"' in text


def test_a_failing_exchange_leaves_the_old_reference(
    book: Book, reviewed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(measured(finished_at="2026-11-21T08:00:00+00:00"), book.reference)
    before, rename = files(book), Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("the disk is full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="full"):
        renewed(book)
    assert files(book) == before
    assert [path.name for path in book.reference.parent.iterdir()] == ["reference"]
