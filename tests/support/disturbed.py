"""Tests that measure: a failure that noise can explain is no failure, and no success either."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from gatewaylab.measure.delay import Delay

#: How often a measurement is made before it is given up.
TRIES = 3


def unless_disturbed(gap: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Repeat a test that failed while the machine was disturbed; never one that failed in quiet.

    After three disturbed failures it is skipped with the reading: undecided, not green. Only for
    failures that noise can cause: one that is wrong data is a failure on any machine.

    Args:
        gap: seconds that must have been lost to others for a failure to be explained.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def repeated(**arguments: Any) -> None:
            lost = []
            for _ in range(TRIES):
                with Delay() as delay:
                    try:
                        test(**arguments)
                    except AssertionError as error:
                        failed = error
                    else:
                        return
                if delay.seconds < gap:
                    raise failed
                lost.append(round(delay.seconds, 3))
            pytest.skip(
                f"undecided: {gap:g} s lost to others explain the failure, and up to {lost} s were"
            )

        return repeated

    return decorate
