"""The directives that print committed records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatewaylab.publish.deploy_record import DeployRecord, SetUpRecord
from gatewaylab.publish.noise_record import NoiseRecord, Rehearsed
from gatewaylab.publish.stability import ClaimRun, Rebuild, StabilityRecord
from gatewaylab.records.storage import save
from gatewaylab.truth.twins import AARecord, Ratio
from tests import builders
from tests.bookext import site

PAGES = {
    "index": "# Front\n\n```{toctree}\nbook/claims\nbook/steady\nbook/method\n```\n",
    "book/claims": "# Ledger\n\n```{claims-ledger}\n```\n\n```{claim-entries}\n```\n",
    "book/steady": "# Steady\n\n```{stability-record}\n```\n\n```{aa-record}\n```\n\n"
    "```{noise-record}\n```\n\n```{deploy-record}\n```\n",
    "book/method": "# Method\n\nWords.\n",
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "book" / "claims" / "some.toml").write_text(builders.entry("C05"))
    site.write(tmp_path, PAGES)
    return tmp_path


def build(book: Path) -> tuple[str, str, set[str]]:
    """The page with the record, the warnings, and the pages that were read."""
    app, read = site.build(book)
    return site.html(app, "book/steady"), app.warning.getvalue(), read


def shown(book: Path) -> str:
    """The page with the record, which goes without a warning."""
    return site.html(site.clean(book), "book/steady")


SEEN = {"low": 5, "high": 9, "unit": "×"}


def steady(*verdicts: str, claim: str = "C05", commit: str | None = "abc123") -> StabilityRecord:
    rebuilds = tuple(
        Rebuild(
            begun=f"2026-11-2{i}T08:00:00+00:00",
            ended=f"2026-11-2{i}T08:12:00+00:00",
            seconds=720,
            claims={claim: ClaimRun.model_validate(SEEN | {"verdict": v, "estimate": 6 + i / 2})},
        )
        for i, v in enumerate(verdicts)
    )
    return StabilityRecord(
        machine="a processor × 2", commit=commit, profile="quick", keys={}, rebuilds=rebuilds
    )


def put(book: Path, record: StabilityRecord) -> Path:
    path = book / "book" / "records" / "stability.json"
    save(record, path)
    return path


def test_a_record_is_printed_with_its_conditions_and_links_to_the_ledger(book: Path) -> None:
    put(book, steady("supported", "refuted", "inconclusive"))
    page = shown(book)
    assert "In 3 rebuilds, 1 claim flipped 1 time between supported and refuted." in page
    assert "Recorded 22 November 2026 on a processor × 2, commit abc123, profile quick, 36 " in page
    assert 'href="claims.html#c05"' in page
    assert '<abbr title="supported">✓</abbr> <abbr title="refuted">✗</abbr>' in page
    assert "1 supported, 1 refuted, 1 inconclusive" in page
    assert "6–7\u00a0×" in page
    assert "1.17" in page


def test_a_claim_that_is_no_longer_declared_is_printed_without_a_link(book: Path) -> None:
    put(book, steady("supported", claim="C99", commit=None))
    page = shown(book)
    assert "C99" in page
    assert "c99" not in page
    assert "no checkout" in page


def test_without_a_record_nothing_is_claimed(book: Path) -> None:
    page = shown(book)
    assert page.count("Not recorded yet") == 4
    assert "flipped" not in page


def test_a_damaged_record_is_a_warning(book: Path) -> None:
    path = put(book, steady("supported"))
    path.write_text(path.read_text().replace('"machine"', '"surprise"'))
    page, warnings, _ = build(book)
    assert "stability-record" in warnings
    assert "not a valid StabilityRecord" in warnings
    assert "flipped" not in page


def test_exactly_the_page_of_a_record_follows_it(book: Path) -> None:
    build(book)
    assert build(book)[2] == set()
    path = put(book, steady("supported"))
    page, _, read = build(book)
    assert read == {"book/steady"}
    assert "In 1 rebuild, 1 claim flipped 0 times" in page
    put(book, steady("supported", "supported"))
    page, _, read = build(book)
    assert read == {"book/steady"}
    assert "In 2 rebuilds" in page
    assert build(book)[2] == set()
    path.unlink()
    page, _, read = build(book)
    assert read == {"book/steady"}
    assert page.count("Not recorded yet") == 4


def twins(*lows: float) -> AARecord:
    ratios = tuple(Ratio(estimate=low + 0.1, low=low, high=low + 0.2, floor=1.0) for low in lows)
    return AARecord(
        at="2026-11-22T08:00:00+00:00",
        machine="a processor × 2",
        commit="abc123",
        python="CPython 3.11",
        planned=len(lows) + 1,
        comparisons=len(lows) + 1,
        blocks=6,
        hold=0.002,
        rate=250,
        window=0.15,
        trials=72,
        refused_trials=0,
        without_number=1,
        interval_excludes_one=sum(ratio.excludes_one for ratio in ratios),
        rule_false_positives=0,
        verdicts={},
        expected=0.03125,
        seconds=90,
        ratios=ratios,
    )


def test_false_positives_are_printed_with_what_they_are_counted_among(book: Path) -> None:
    save(twins(0.9, 1.01, 0.95), book / "book" / "records" / "aa.json")
    page = shown(book)
    assert "in 4 comparisons of 6 blocks (72 trials); noise left 1 comparison without" in page
    assert "Recorded 22 November 2026 on a processor × 2, commit abc123, 1.5 minutes" in page
    cells = "".join(page.split("<tbody>")[1].split("</tbody>")[0].split("\n"))
    for text in ("1 of 3", "33.3 %", "3.1 %", "0 of 3", "0.0 %"):
        assert f"<p>{text}</p>" in cells


def test_without_any_number_no_share_is_printed(book: Path) -> None:
    save(twins(), book / "book" / "records" / "aa.json")
    page = shown(book)
    assert "0 of 0" in page
    assert "nan" not in page.lower()


def under(**changes: Any) -> Rehearsed:
    fields: dict[str, Any] = {
        "what": "half of the machine's time is taken away",
        "at": "2026-11-22T08:00:00+00:00",
        "seconds": 690,
        "commit": "abc123",
        "claims": {"C05": "supported", "C06": "inconclusive", "C07": "not measured"},
        "sabotages": {"C05": "refuted", "C06": "inconclusive"},
    }
    return Rehearsed(**{**fields, **changes})


def test_the_book_under_noise_is_printed_with_a_row_for_each_noise(book: Path) -> None:
    bad = under(
        what="w", claims={"C05": "refuted"}, sabotages={"C05": "supported"}, seconds=60,
        at="2026-11-23T08:00:00+00:00",
    )  # fmt: skip
    path = book / "book" / "records" / "noise.json"
    save(NoiseRecord(machine="a processor × 2", profile="quick", noises={"slow": under()}), path)
    page = shown(book)
    assert "measured once under each on a processor × 2, profile quick." in page
    slow = ["slow : half of the machine’s time is taken away", "1", "1", "0", "1", "1 / 1 / 0"]
    slow = [one.replace("’", "'") for one in slow] + ["11.5", "22 November 2026"]
    assert site.rows(page.replace("’", "'"), "noise-table") == [slow]
    both = {"slow": under(), "bursts": bad}
    save(NoiseRecord(machine="a processor × 2", profile="quick", noises=both), path)
    page, _, read = build(book)
    assert read == {"book/steady"}
    assert site.rows(page, "noise-table")[1] == [
        "bursts : w", "0", "0", "1", "0", "0 / 0 / 1", "1", "23 November 2026",
    ]  # fmt: skip
    path.write_text(path.read_text().replace('"machine"', '"surprise"'))
    assert "not a valid NoiseRecord" in build(book)[1]


def test_set_ups_are_printed_with_a_row_for_each_visit_and_the_reasons_for_no(
    book: Path,
) -> None:
    cannot = {"socket": "WSGI has none"}
    record = DeployRecord(
        at="2026-11-22T08:00:00+00:00", programs={"nginx": "1.2"},
        visits={"page": "A page comes.", "socket": "A socket opens."},
        set_ups={
            "one": SetUpRecord(site="a", passed={"page": True, "socket": True}, why_not={}),
            "two": SetUpRecord(site="b", passed={"page": True, "socket": False}, why_not=cannot),
        },
    )  # fmt: skip
    save(record, book / "book" / "records" / "deploy.json")
    page, warnings, _ = build(book)
    assert warnings == ""
    assert site.rows(page, "deploy-table") == [
        ["A page comes.", "yes", "yes"], ["A socket opens.", "yes", "no"],
    ]  # fmt: skip
    assert "Why not: WSGI has none (two). Recorded 22 November 2026 with nginx 1.2." in page
