from __future__ import annotations

import contextlib

import pytest

from gatewaylab import timeline


@pytest.fixture
def session() -> timeline.Session:
    return timeline.Session()


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(timeline, "time", found)
    return found


def test_names_stay_known_after_the_end(session: timeline.Session) -> None:
    with session.at_work("nginx", "uvicorn"):
        pass
    assert session.systems() == {"nginx", "uvicorn"}


def test_systems_side_by_side_count_once(session: timeline.Session, clock: Clock) -> None:
    with session.at_work("redis"):
        clock.now += 1
        with session.at_work("uvicorn"):
            clock.now += 2
        clock.now += 3
    clock.now += 10
    with session.at_work("uvicorn"):
        clock.now += 4
    assert session.seconds() == pytest.approx(10)


def test_one_that_is_still_up_counts_until_now(session: timeline.Session, clock: Clock) -> None:
    with session.at_work("uvicorn"):
        clock.now += 2
        assert session.seconds() == pytest.approx(2)


def test_time_counts_although_the_block_failed(session: timeline.Session, clock: Clock) -> None:
    def failing() -> None:
        with session.at_work("uvicorn"):
            clock.now += 5
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert session.seconds() == pytest.approx(5)


def test_what_is_measured_counts_once_and_apart_from_what_is_up(
    session: timeline.Session, clock: Clock
) -> None:
    with session.at_work("uvicorn"):
        clock.now += 1
        with session.under_load():
            clock.now += 2
            with session.under_load():
                clock.now += 3
        clock.now += 4
    assert session.loaded() == pytest.approx(5)
    assert session.seconds() == pytest.approx(10)


def test_a_measurement_that_failed_was_one(session: timeline.Session, clock: Clock) -> None:
    with contextlib.suppress(ZeroDivisionError), session.under_load():
        clock.now += 3
        raise ZeroDivisionError
    assert session.loaded() == pytest.approx(3)
