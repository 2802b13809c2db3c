from __future__ import annotations

import math
from array import array

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewaylab.load import wire
from gatewaylab.load.wire import Columns, Heads, Tally, decode

USUAL = b"HTTP/1.1 200 OK\r\nServer-Timing: app;dur=12.345\r\nX-Worker: 7/70\r\nX-Started: 5.000001"


def read(*heads: bytes) -> tuple[list[float], list[float], list[int], list[str]]:
    found = Heads(len(heads))
    for row, head in enumerate(heads):
        found[row] = head
    names = found.settle()
    return list(found.service), list(found.started_at), list(found.worker), names


@pytest.mark.parametrize(
    "head",
    [
        USUAL,
        USUAL.lower(),
        USUAL + b"\r\nContent-Length: 3",
        USUAL.replace(b"app;", b"db;dur=9.000, app;"),
        b"\r\nx-started:5.000001\r\nx-worker:\t7/70 \r\nother: 1\r\nserver-timing:app;dur=12.345",
    ],
)
def test_the_apps_headers_are_found_however_they_are_written(head: bytes) -> None:
    assert read(head) == ([0.012345], [5.000001], [0], ["7/70"])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\nServer-Timing: app;dur=1.2.3\r\nX-Started: " + b"9" * 400,
        USUAL.replace(b"12.345", b"1" * 30 + b".000").replace(b"X-Started", b"X"),
        b"\r\nServer-Timing: db;dur=9.000\r\nNo-X-Started: 5.000000",
        b"\r\nServer-Timing: map;dur=\r\nX-Started: -",
        b"\r\nServer-Timing: app;dur=1e999\r\nX-Started: 1.5e999",
    ],
)
def test_what_makes_no_sense_is_no_number(head: bytes) -> None:
    service, started, _, _ = read(head)
    assert math.isnan(service[0])
    assert math.isnan(started[0])


def test_workers_are_numbered_as_they_are_met() -> None:
    heads = [b"\r\nX-Worker: %s" % name for name in (b"b/1", b"a/1", b"b/1")]
    assert read(*heads, b"")[2:] == ([0, 1, 0, -1], ["b/1", "a/1"])


def test_a_run_of_many_answers_reads_them_on_the_way_and_reads_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads = [USUAL.replace(b"12.345", b"%d.000" % i) for i in range(1_000)]
    at_the_end = read(*heads)
    monkeypatch.setattr(wire, "KEPT_HEADS", 100)
    found = Heads(len(heads))
    for row, head in enumerate(heads):
        found[row] = head
        assert len(found._waiting) <= 100
    names = found.settle()
    assert (list(found.service), list(found.started_at), list(found.worker), names) == at_the_end


def floats(data: memoryview) -> NDArray[np.float64]:
    return np.frombuffer(data, np.float64)


def test_what_is_written_piece_by_piece_is_read_back() -> None:
    columns = Columns(array("d", [1.0, 2.0, 3.0]))
    columns.sent_at[1] = 2.5
    columns.status[2] = 200
    columns.heads[1] = USUAL
    found, workers, tally = decode(columns.encode(Tally(connections=3)))
    assert floats(found["scheduled_at"]).tolist() == [1.0, 2.0, 3.0]
    assert np.array_equal(floats(found["sent_at"]), [np.nan, 2.5, np.nan], equal_nan=True)
    assert np.array_equal(floats(found["service"]), [np.nan, 0.012345, np.nan], equal_nan=True)
    assert np.frombuffer(found["status"], np.int32).tolist() == [0, 0, 200]
    assert np.frombuffer(found["worker"], np.int32).tolist() == [-1, 0, -1]
    assert (workers, tally.connections) == (["7/70"], 3)
    assert b"".join(columns.parts(Tally(connections=3))) == columns.encode(Tally(connections=3))


def test_the_closed_model_adds_rows_and_only_those_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "_GROWTH", 2)
    columns = Columns(array("d"))
    for i in range(5):
        assert columns.add(float(i)) == i
        columns.heads[i] = USUAL
    found, _, _ = decode(columns.encode(Tally()))
    assert floats(found["scheduled_at"]).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert floats(found["service"]).tolist() == [0.012345] * 5


def test_an_answer_that_is_cut_short_is_refused() -> None:
    whole = Columns(array("d", [1.0])).encode(Tally())
    with pytest.raises(ValueError, match="cut short"):
        decode(whole[:-1])
