"""What the demo applications share: queries, answers, and naming who answered."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from demo_apps import common


def test_burning_spends_the_cpu_time_it_was_asked_for() -> None:
    before = time.thread_time()
    common.burn(5)
    assert time.thread_time() - before >= 0.005


@pytest.mark.parametrize("text", ["", "abc", "-0.1", "60000.1", "nan", "inf", "-inf", "1,5"])
def test_milliseconds_refuses_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(common.BadQueryError, match="ms must be a number of milliseconds"):
        common.milliseconds(text, 50)


@pytest.mark.parametrize(("text", "value"), [(None, 50), ("0", 0), ("2.5", 2.5), ("60000", 60_000)])
def test_milliseconds_reads_durations_up_to_a_minute(text: str | None, value: float) -> None:
    assert common.milliseconds(text, 50) == value


@pytest.mark.parametrize("text", ["", "abc", "-1", "10001", "1.5"])
def test_pieces_refuses_what_is_not_a_count(text: str) -> None:
    with pytest.raises(common.BadQueryError, match="n must be a whole number"):
        common.pieces(text)


def test_durations_print_without_a_needless_fraction() -> None:
    assert common.held(50.0) == "held 50 ms\n"
    assert common.burned(1234.5678) == "burned 1234.5678 ms\n"


def test_whoami_keeps_only_what_json_can_hold() -> None:
    plain = {"text": "a", "number": 1.5, "flag": True, "nested": {"version": "3.0"}}
    plain["pair"] = ("127.0.0.1", 80)
    other = {"bytes": b"x", "nan": float("nan"), "stream": object(), "headers": [(b"host", b"x")]}
    kept = common.whoami("raw", "asgi", plain | other)
    assert kept["scope"].keys() == plain.keys()
    json.dumps(kept)


def test_chunks_are_made_only_when_they_are_asked_for() -> None:
    assert list(itertools.islice(common.chunks(10**9), 2)) == ["chunk 0\n", "chunk 1\n"]
    assert list(common.events(1)) == ["data: 0\n\n"]
