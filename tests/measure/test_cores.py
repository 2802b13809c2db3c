from __future__ import annotations

import os

import pytest

from gatewaylab.measure.cores import Cores, choose_cores


@pytest.mark.parametrize(
    ("may", "expected"),
    [
        ({3}, Cores(None, None, None)),
        ({1, 3}, Cores(generator=3, server=1, servers=frozenset({1}))),
        ({5, 1, 3}, Cores(generator=5, server=1, servers=frozenset({1, 3}))),
    ],
)
def test_the_generator_has_the_last_core_to_itself_where_there_are_two(
    may: set[int], expected: Cores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: may)
    assert choose_cores() == expected
