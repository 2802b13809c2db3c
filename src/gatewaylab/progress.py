"""How far a build is: a bar with the time left in a terminal, a line now and then in a log."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

#: Seconds between two lines where there is no terminal, and between two looks at the file.
_LINE_EVERY = 20.0
_LOOK_EVERY = 0.5


def clock(seconds: float) -> str:
    """``m:ss``."""
    whole = max(int(seconds), 0)
    return f"{whole // 60}:{whole % 60:02d}"


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{clock(task.elapsed or 0)} passed, about {clock(task.fields['left'])} left")


class Watch:
    """Follows one notebook's execution through the file in which it says where it is.

    Args:
        name: the notebook. file: where the notebook writes its position.
        expected: seconds it is likely to take. later: seconds that the rest will take.
    """

    def __init__(
        self, console: Console, name: str, file: Path, *, expected: float, later: float
    ) -> None:
        self._console, self._name, self._file = console, name, file
        self._expected, self._later = expected, later
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Watch:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        state = "done" if kind is None else "stopped"
        passed = clock(time.monotonic() - self._began)
        self._console.out(f"{self._name}: {state} after {passed}")

    def _left(self) -> float:
        passed = time.monotonic() - self._began
        return max(self._expected - passed, 0.0) + self._later

    def _where(self) -> str:
        try:
            return self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return "starting"

    def _follow(self) -> None:
        if self._console.is_terminal:
            self._draw()
            return
        while not self._over.wait(_LINE_EVERY):
            self._console.print(
                f"{self._name}: {self._where()}, about {clock(self._left())} left", markup=False
            )

    def _draw(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), _Left())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(self._name, total=self._expected, left=self._left())
            while not self._over.wait(_LOOK_EVERY):
                passed = time.monotonic() - self._began
                bar.update(
                    task,
                    completed=min(passed, 0.99 * self._expected),
                    description=f"{self._name}: {self._where()}",
                    left=self._left(),
                )
