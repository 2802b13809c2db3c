from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from gatewaylab.errors import ServerError
from gatewaylab.load.clients import Reply, inside, peak_inside


def reply(headers: Mapping[str, str]) -> Reply:
    return Reply(200, headers, b"", "HTTP/1.1", begun=1.0, seconds=0.5, pieces=())


def test_a_reply_of_a_demo_application_says_who_answered_and_when_it_came() -> None:
    told = reply({"x-worker": "12/345", "x-started": "1.25"})
    assert (told.process, told.thread, told.started) == (12, 345, 1.25)


def test_a_reply_of_anybody_else_does_not() -> None:
    silent = reply({})
    assert (silent.process, silent.thread, silent.started) == (None, None, math.inf)


@pytest.mark.parametrize(("second", "peak"), [(2.0, 2), (2.5, 1), (3.0, 1)])
def test_the_peak_counts_what_shares_a_moment(second: float, peak: int) -> None:
    stays = [
        reply({"x-started": str(begun), "server-timing": "app;dur=500"}) for begun in (2.0, second)
    ]
    assert peak_inside(stays) == peak


@pytest.mark.parametrize(
    "headers",
    [
        {"x-started": "1e999", "x-worker": "/", "server-timing": "app;dur=1"},
        {"x-started": "nan", "x-worker": "7", "server-timing": "app;dur=1e999"},
        {"x-started": "1.5", "x-worker": "1/" + "9" * 5_000, "server-timing": "app"},
    ],
)
def test_absurd_headers_are_no_numbers(headers: Mapping[str, str]) -> None:
    told = reply(headers)
    assert (told.process, told.thread) == (None, None)
    assert told.started in (1.5, math.inf)
    with pytest.raises(ServerError, match="ask a path of a demo application"):
        inside(told)
