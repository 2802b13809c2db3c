"""How far a build is: a bar with the time left in a terminal, a line now and then in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from gatewaylab.records.evidence import Position
from gatewaylab.records.staging import Staging

#: Seconds between two lines where there is no terminal, and between two looks at the file.
_LINE_EVERY = 20.0
_LOOK_EVERY = 0.5

#: The expected pace weighs as much as so many seconds of work at the pace that is seen.
_PRIOR = 60.0
#: A notebook that has taken all its time is taken to need this much of it once again.
_OVERTIME = 0.1
#: What is not finished has at least so many seconds left.
_LEAST = 1.0


def clock(seconds: float) -> str:
    """``m:ss``."""
    whole = max(int(seconds), 0)
    return f"{whole // 60}:{whole % 60:02d}"


class Pace:
    """How long the notebooks of a run will take, by how long those before them took.

    Args:
        expected: seconds that each is likely to take, in their order, on a machine as before.
    """

    def __init__(self, expected: Sequence[float]) -> None:
        self._ahead = list(expected)
        self._planned = self._took = 0.0

    @property
    def factor(self) -> float:
        """Seconds that one expected second has taken so far."""
        return (self._took + _PRIOR) / (self._planned + _PRIOR)

    @property
    def current(self) -> float:
        """Seconds that the notebook at hand will take in all."""
        return self.factor * self._ahead[0] if self._ahead else 0.0

    @property
    def left(self) -> float:
        """Seconds that the notebook at hand and all after it will take."""
        return max(self.factor * sum(self._ahead), _LEAST) if self._ahead else 0.0

    def done(self, seconds: float) -> None:
        """The notebook at hand has taken so long; the next one is at hand."""
        self._planned += self._ahead.pop(0)
        self._took += seconds

    def still(self, passed: float, where: Position, series: float) -> float:
        """Seconds left for the notebook at hand and all after it.

        Args:
            passed: seconds since the notebook at hand was begun. where: how far it is.
            series: seconds since its comparison was begun.
        """
        own = max(self.current - passed, _OVERTIME * passed, _LEAST)
        if 0 < where.done < where.total:
            # Trials measured again are a part of the pace, as they will be of what is left.
            own = max(own, series / where.done * (where.total - where.done))
        return own + self.factor * sum(self._ahead[1:])


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{clock(task.elapsed or 0)} passed, about {clock(task.fields['left'])} left")


class ProgressWatch:
    """Follows one notebook's execution through what it says of its position.

    Args:
        name: the notebook. stage: its staging folder, where it says where it is.
        pace: of the run; the notebook is the one at hand, and done at the end of the block.
    """

    def __init__(self, console: Console, name: str, stage: Staging, pace: Pace) -> None:
        self._console, self._name, self._stage, self._pace = console, name, stage, pace
        self._series: tuple[str, float] = ("", 0.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> ProgressWatch:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        state = "done" if kind is None else "stopped"
        passed = time.monotonic() - self._began
        self._pace.done(passed)
        self._console.out(f"{self._name}: {state} after {clock(passed)}")

    def _look(self) -> tuple[Position, float, float]:
        """Where the notebook is, the seconds that have passed, and those that are left."""
        now, where = time.monotonic(), self._stage.where()
        if where.series != self._series[0]:
            self._series = where.series, now
        passed = now - self._began
        return where, passed, self._pace.still(passed, where, now - self._series[1])

    def _follow(self) -> None:
        if self._console.is_terminal:
            self._draw()
            return
        while not self._over.wait(_LINE_EVERY):
            where, _, left = self._look()
            self._console.print(
                f"{self._name}: {where}, about {clock(left)} left", markup=False, soft_wrap=True
            )

    def _draw(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), _Left())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(self._name, total=1.0, left=self._pace.left)
            while not self._over.wait(_LOOK_EVERY):
                where, passed, left = self._look()
                bar.update(
                    task,
                    completed=passed / max(passed + left, 1.0),
                    description=f"{self._name}: {where}",
                    left=left,
                )
