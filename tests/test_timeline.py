from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace

import pytest

from gatewaylab import timeline
from gatewaylab.timeline import Session


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(timeline, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def test_names_stay_known_after_the_end() -> None:
    session = Session()
    with session.at_work("nginx", "uvicorn"):
        pass
    assert session.systems() == {"nginx", "uvicorn"}


def test_systems_side_by_side_count_once_and_one_that_is_up_until_now(
    clock: SimpleNamespace,
) -> None:
    session = Session()
    with session.at_work("redis"):
        clock.now += 1
        with session.at_work("uvicorn"):
            clock.now += 2
        clock.now += 3
        assert session.seconds() == pytest.approx(6)
    clock.now += 10
    with session.at_work("uvicorn"):
        clock.now += 4
    assert session.seconds() == pytest.approx(10)


def test_what_is_measured_counts_once_apart_from_what_is_up_and_although_it_failed(
    clock: SimpleNamespace,
) -> None:
    session = Session()
    with suppress(ZeroDivisionError), session.at_work("uvicorn"):
        clock.now += 1
        with session.under_load():
            clock.now += 2
            with session.under_load():
                clock.now += 3
                raise ZeroDivisionError
    assert session.loaded() == pytest.approx(5)
    assert session.seconds() == pytest.approx(6)
