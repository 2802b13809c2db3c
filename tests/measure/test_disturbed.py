"""A test that measures may blame the machine only for what the machine has lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gatewaylab.measure import delay
from tests.support.disturbed import TRIES, unless_disturbed

Lose = Callable[[float], None]


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """What the machine has lost, by a counter in place of the kernel's."""
    lost = [0.0]
    monkeypatch.setattr(delay, "_lost", lambda: lost[0])

    def more(seconds: float) -> None:
        lost[0] += seconds

    return more


def test_a_failure_in_quiet_is_a_failure_at_once(lose: Lose) -> None:
    tries = []

    @unless_disturbed(0.01)
    def measured() -> None:
        tries.append(0)
        lose(0.009)
        raise AssertionError("wrong")

    with pytest.raises(AssertionError, match="wrong"):
        measured()
    assert len(tries) == 1


def test_a_failure_that_noise_explains_is_tried_again_and_then_undecided(
    lose: Lose,
) -> None:
    tries = []

    @unless_disturbed(0.01)
    def measured() -> None:
        tries.append(0)
        lose(0.02)
        raise AssertionError("wrong")

    with pytest.raises(pytest.skip.Exception, match=r"undecided: 0\.01 s lost .* 0\.02"):
        measured()
    assert len(tries) == TRIES


def test_one_good_try_is_enough(lose: Lose) -> None:
    left = [True, False]

    @unless_disturbed(0.01)
    def measured() -> None:
        lose(0.02)
        assert not left.pop(0)

    measured()
    assert left == []


def test_other_errors_are_never_forgiven(lose: Lose) -> None:
    @unless_disturbed(0.01)
    def measured() -> None:
        lose(1.0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        measured()
