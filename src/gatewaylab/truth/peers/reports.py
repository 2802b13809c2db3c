"""What each load tool prints, as numbers. Pure functions of text; times in seconds.

The layouts are those of wrk 4.1, h2load 1.52 and hey 0.1.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import LoadError
from gatewaylab.model.quantiles import empirical

#: The levels that are compared; 1.0 is the maximum.
LEVELS = (0.5, 0.9, 0.99, 1.0)

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = r"([\d.]+)(us|ms|s|m|h)\b"


@dataclass(frozen=True)
class Printed:
    """A tool's own summary of one run.

    Attributes:
        requests: answered ones, as it counts them. failed: those that it counts as failed.
        seconds: how long it says that it ran; NaN when it does not say.
        mean, largest: of the latencies. quantiles: by level, as far as it prints them.
    """

    requests: int
    failed: int
    seconds: float
    mean: float
    largest: float
    quantiles: Mapping[float, float] = field(default_factory=dict)


def wrk(text: str) -> Printed:
    """The output of ``wrk --latency``.

    Raises:
        LoadError: it is not what wrk prints.
    """
    total = _find("wrk", r"(\d+) requests in " + _TIME, text)
    line = _find("wrk", rf"Latency +{_TIME} +{_TIME} +{_TIME}", text)
    broken = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    refused = int(wrong[1]) if wrong else 0  # these are among the requests, the broken are not
    return Printed(
        requests=int(total[1]) - refused,
        failed=refused + (sum(int(n) for n in broken.groups()) if broken else 0),
        seconds=_time(total[2], total[3]),
        mean=_time(line[1], line[2]),
        largest=_time(line[5], line[6]),
        quantiles={
            float(level) / 100: _time(number, unit)
            for level, number, unit in re.findall(rf"^ +([\d.]+)% +{_TIME}", text, re.MULTILINE)
        },
    )


def h2load(text: str) -> Printed:
    """The output of ``h2load``, which has no quantiles.

    Raises:
        LoadError: it is not what h2load prints.
    """
    total = _find("h2load", rf"finished in {_TIME}", text)
    counts = _find(
        "h2load", r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text
    )
    line = _find("h2load", rf"time for request: +{_TIME} +{_TIME} +{_TIME}", text)
    return Printed(
        requests=int(counts[1]),
        failed=int(counts[2]),  # the errored and the timed out are among them
        seconds=_time(total[1], total[2]),
        mean=_time(line[5], line[6]),
        largest=_time(line[3], line[4]),
    )


def h2load_log(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The file of ``h2load --log-file``: when each request was sent, and its latency.

    A row has the microsecond (of the epoch) at which the request was sent, the status, and the
    microseconds until the end of the answer. Rows come in the order of the answers.

    Raises:
        LoadError: it is not such a file, or a request in it failed.
    """
    rows = [line.split("\t") for line in text.splitlines()]
    try:
        table = np.array([[int(cell) for cell in row[:3]] for row in rows], np.int64)
        sent, status, took = table.reshape(len(rows), 3).T
    except ValueError as error:
        raise LoadError(f"h2load's log cannot be read: {error}") from error
    _require("h2load", len(rows), int(((status < 200) | (status > 299)).sum()))
    return sent / 1e6, took / 1e6


def hey(text: str) -> Printed:
    """The summary that ``hey`` prints.

    Raises:
        LoadError: it is not what hey prints.
    """
    statuses = [(int(code), int(n)) for code, n in re.findall(r"\[(\d+)\]\t(\d+) responses", text)]
    good = sum(n for code, n in statuses if 200 <= code < 300)
    errors = text.partition("Error distribution:")[2]
    broken = sum(int(n) for n in re.findall(r"^ +\[(\d+)\]\t", errors, re.MULTILINE))
    return Printed(
        requests=good,
        failed=sum(n for _, n in statuses) - good + broken,
        seconds=float(_find("hey", r"Total:\t([\d.]+) secs", text)[1]),
        mean=float(_find("hey", r"Average:\t([\d.]+) secs", text)[1]),
        largest=float(_find("hey", r"Slowest:\t([\d.]+) secs", text)[1]),
        quantiles={
            int(level) / 100: float(value)
            for level, value in re.findall(r"^ +(\d+)% in ([\d.]+) secs", text, re.MULTILINE)
        },
    )


def hey_csv(text: str) -> NDArray[np.float64]:
    """The latencies in the output of ``hey -o csv``, which has them to 0.1 ms.

    A request that got no answer at all has no row there.

    Raises:
        LoadError: it is not what hey writes, or an answer in it is not a 2xx.
    """
    header, *rows = [line.split(",") for line in text.splitlines() if line] or [[]]
    try:
        time, status = header.index("response-time"), header.index("status-code")
        took = np.array([float(row[time]) for row in rows])
        wrong = sum(not row[status].startswith("2") for row in rows)
    except (ValueError, IndexError) as error:
        raise LoadError(f"hey's table cannot be read: {error}") from error
    _require("hey", len(rows), wrong)
    return took


def checked(title: str, said: Printed) -> Printed:
    """The summary itself, when every request of it went well.

    Raises:
        LoadError: requests failed, or there were none.
    """
    _require(title, said.requests + said.failed, said.failed)
    return said


def quantiles_of(latencies: NDArray[np.float64]) -> dict[float, float]:
    """Empirical quantiles (inverted distribution function) at `LEVELS`, without any refusal.

    They stand for what a tool would print, and a tool prints its p99 of 300 requests as well.
    """
    return {level: empirical(latencies, level) for level in LEVELS}


def _require(title: str, requests: int, failed: int) -> None:
    if not requests:
        raise LoadError(f"{title} got no answer at all")
    if failed:
        raise LoadError(f"{failed} of {requests} requests failed, says {title}")


def _find(title: str, pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        tail = "\n".join(text.strip().splitlines()[-12:])
        raise LoadError(f"{title} printed nothing like {pattern!r}:\n{tail}")
    return found


def _time(number: str, unit: str) -> float:
    return float(number) * _UNITS[unit]
