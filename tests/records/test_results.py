"""Stored results: what goes in comes out, what is wrong is rejected, and no write is half done."""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gatewaylab.errors import InputError, RefusedError, ResultError
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.measure.delay import until
from gatewaylab.model.quantiles import quantile_of
from gatewaylab.records.effects import Bounds, Effect
from gatewaylab.records.results import Comparison, LoadRecord, Trial
from gatewaylab.records.storage import (
    check_destination,
    load,
    save,
    write_atomically,
    write_or_rescue,
)
from tests import builders

NAN, INF = math.nan, math.inf
TOO_FEW = builders.finding("blocks", message="too few").model_copy(update={"allowed": INF})
DEADLINE = ERRORS.index("deadline")
ONE_FOLDER = [HealthCheck.function_scoped_fixture]  # for all examples of a test


def make_samples(
    n: int = 8, *, late: int = 0, workers: tuple[str, ...] = ("7/1", "7/2")
) -> Samples:
    """``n`` requests 10 ms apart that take 2 ms each; the last ``late`` never finish."""
    scheduled = (np.arange(n) * 0.01).astype(np.float64)
    return builders.samples(
        [0.002] * (n - late) + [INF] * late,
        service=0.001,
        sent_at=scheduled + 0.0001,
        first_byte_at=np.where(np.arange(n) < n - late, scheduled + 0.0015, NAN),
        started_at=scheduled + 100.0,
        worker=(np.arange(n) % len(workers)).astype(np.int32),
        workers=workers,
    )


def make_report(**changes: Any) -> GeneratorReport:
    more = {"planned": 8, "sent": 8, "connections": 2, "wall_seconds": 0.1}
    return builders.report(**{**more, "monotonic_start": 1234.5, **changes})


def make_trial(label: str = "a", samples: Samples | None = None, **changes: Any) -> Trial:
    fields: dict[str, Any] = {
        "setup": {"server": "gunicorn-sync", "slots": 1, "nested": {"unix": False, "env": None}},
        "arrivals": {"kind": "poisson", "rate": 12.0},
        "warmup": 0.02,
        "seconds": 0.06,
        "samples": samples or make_samples(late=1),
        "generator": make_report(),
        "health": {"psi": 0.5, "steal": NAN},
    }
    return builders.trial(label, changes.pop("block", 0), [], **{**fields, **changes})


def make_comparison() -> Comparison:
    return Comparison(
        name="blocking",
        labels=("a", "b"),
        twin="a",
        blocks=6,
        seed=1,
        trials=(make_trial("a"), make_trial("b"), make_trial("a (again)")),
        rejected=(make_trial("b", findings=(builders.finding("send lag"),)),),
    )


def make_effect(**changes: Any) -> Effect:
    more = {"low90": 1.6, "high90": 2.8, "values": (1.5, 2.0, 3.0)}
    return builders.effect(**{"estimate": 2.0, "low": 1.5, "high": 3.0, **more, **changes})


def make_record() -> LoadRecord:
    same = ("arrivals", "seed", "warmup", "seconds", "deadline", "samples", "generator")
    fields = {name: getattr(make_trial(), name) for name in same}
    return LoadRecord(url="http://127.0.0.1:8000", request={"method": "GET"}, **fields)


# Round trip


def back(model: BaseModel, tmp_path: Path) -> Any:
    save(model, tmp_path / "x.json")
    return load(type(model), tmp_path / "x.json")


@pytest.mark.parametrize("make", [make_comparison, make_effect, make_record, make_report])
def test_a_saved_result_is_loaded_unchanged(make: Callable[[], BaseModel], tmp_path: Path) -> None:
    model = make()
    loaded = back(model, tmp_path)
    # Compared as JSON, where NaN equals itself.
    assert loaded.model_dump_json() == model.model_dump_json()
    again = back(loaded, tmp_path)
    assert again.model_dump_json() == model.model_dump_json()


times = st.floats(0, 1e4).map(lambda t: round(t, 6))


@settings(deadline=None, suppress_health_check=ONE_FOLDER)
@given(
    st.lists(
        st.tuples(
            times,
            st.none() | st.floats(0, 60).map(lambda t: round(t, 6)),
            st.integers(0, 999),
            st.integers(2, len(ERRORS) - 1),
            st.integers(-1, 1),
        ),
        max_size=30,
    )
)
def test_samples_survive_the_round_trip_to_the_microsecond(
    tmp_path: Path, rows: list[tuple[float, float | None, int, int, int]]
) -> None:
    scheduled = np.array([row[0] for row in rows], dtype=np.float64)
    taken = np.array([NAN if row[1] is None else row[1] for row in rows], dtype=np.float64)
    samples = builders.samples(
        taken,
        scheduled_at=scheduled,
        sent_at=scheduled,
        first_byte_at=scheduled + taken,
        finished_at=scheduled + taken,
        status=[row[2] for row in rows],
        error=[row[3] for row in rows],
        service=taken,
        started_at=scheduled + taken,
        worker=[row[4] for row in rows],
        workers=("1/1", "1/2"),
    )
    loaded = back(samples, tmp_path)
    np.testing.assert_allclose(loaded.finished_at, samples.finished_at, atol=6e-7)
    np.testing.assert_array_equal(loaded.worker, samples.worker)
    assert back(loaded, tmp_path) == loaded


def test_the_stored_form_is_strict_json(tmp_path: Path) -> None:
    save(make_comparison(), tmp_path / "x.json")

    def forbid(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    stored = json.loads((tmp_path / "x.json").read_text(), parse_constant=forbid)
    assert stored["trials"][0]["samples"]["finished_at"][-1] is None
    assert stored["trials"][0]["health"]["steal"] == "NaN"


@pytest.mark.parametrize(
    ("workers", "most"), [([0, 1, 0, 1], 2), ([0, 1, 2, 3], 1), ([0, 0, 0, 0], 4), ([-1] * 4, 0)]
)
def test_requests_share_a_thread_only_if_it_is_the_same_one(workers: list[int], most: int) -> None:
    threads = tuple(f"1/{thread}" for thread in range(4))
    found = builders.samples([0.1] * 4, service=0.1, worker=workers, workers=threads)
    assert found.peak_overlap == 4
    assert found.peak_sharing == most


class Holder(BaseModel):
    effect: Effect


def test_infinite_bounds_survive_also_inside_another_record(tmp_path: Path) -> None:
    effect = make_effect(estimate=INF, high=INF, high90=INF, values=(2.0, INF), floor=INF)
    assert back(Holder(effect=effect), tmp_path) == Holder(effect=effect)
    loaded = back(effect, tmp_path)
    assert loaded == effect
    assert (loaded.estimate, loaded.low) == (INF, 1.5)


def test_a_refused_effect_may_hold_no_number_at_all(tmp_path: Path) -> None:
    effect = make_effect(estimate=NAN, low=NAN, high=NAN, values=(NAN,), refused=(TOO_FEW,))
    loaded = back(effect, tmp_path)
    assert math.isnan(loaded.estimate)
    assert loaded.refused == (TOO_FEW,)


def test_a_disturbed_trial_may_be_used_and_one_with_another_load_may_not() -> None:
    steal, sent = builders.finding("steal"), builders.finding("sent", "generator")
    disturbed = make_trial("b", findings=(steal,))
    assert (disturbed.usable, make_trial().usable) == (True, True)
    kept = make_comparison().model_copy(update={"trials": (make_trial("a"), disturbed)})
    assert Comparison.model_validate(kept.model_dump()).trials[1].findings == (steal,)
    for kind in (sent, builders.finding("errors", "wrong data")):
        broken = make_trial("b", findings=(steal, kind))
        assert not broken.usable
        with pytest.raises(ValidationError, match="broke a rule"):
            Comparison.model_validate({**kept.model_dump(), "trials": (broken.model_dump(),)})
    with pytest.raises(ValidationError, match="does not say which"):
        Comparison.model_validate({**kept.model_dump(), "rejected": (make_trial().model_dump(),)})


def test_what_noise_leaves_of_an_effect_is_an_effect_of_its_own(tmp_path: Path) -> None:
    plain = make_effect()
    assert plain.quieted == plain
    bounds = Bounds(low=-INF, high=3.0, low90=0.5, high90=2.9)
    freed = make_effect(shifts=(0.1, INF, 0.0), quiet=bounds)
    loaded = back(freed, tmp_path)
    assert loaded == freed
    quieted = loaded.quieted
    assert (quieted.low, quieted.high, quieted.low90, quieted.high90) == (-INF, 3.0, 0.5, 2.9)
    assert (quieted.quiet, quieted.values) == (None, freed.values)


def test_a_finding_reads_as_its_sentence() -> None:
    assert str(builders.finding("steal", message="steal: 2 %")) == "steal: 2 %"
    with pytest.raises(ValidationError):
        builders.finding("", message="nobody")


def test_the_published_schema_names_the_infinite_numbers() -> None:
    schema = Effect.model_json_schema(mode="serialization")
    assert {"enum": ["Infinity", "-Infinity", "NaN"]} in schema["properties"]["high"]["anyOf"]


# Samples and trials


def test_equal_samples_are_equal_and_others_are_not() -> None:
    assert make_samples(late=1) == make_samples(late=1)
    assert make_samples(late=1) != make_samples(late=2)
    assert make_samples() != make_samples(workers=("7/1", "7/3"))
    assert make_samples() != "samples"


def test_columns_cannot_be_changed_and_the_callers_array_still_can() -> None:
    mine = np.arange(3.0)
    samples = builders.samples([9.0] * 3, scheduled_at=mine)
    with pytest.raises(ValueError, match="read-only"):
        samples.scheduled_at[0] = 5.0
    with pytest.raises(ValidationError, match="frozen"):
        samples.scheduled_at = mine
    mine[0] = 0.5


def test_what_never_finished_is_censored_and_not_dropped() -> None:
    samples = make_samples(8, late=3)
    assert len(samples.latency) == 8
    assert np.isinf(samples.latency[-3:]).all()
    assert samples.latency[:5] == pytest.approx(0.002)


def test_send_lag_is_unknown_where_nothing_was_sent() -> None:
    unsent = builders.changed(make_samples(2), sent_at=[None, 0.0105])
    assert math.isnan(unsent.send_lag[0])
    assert unsent.send_lag[1] == pytest.approx(0.0005)


def test_the_warm_up_is_kept_and_left_out_of_the_statistics() -> None:
    trial = make_trial(samples=make_samples(8), warmup=0.02, seconds=0.06)
    assert len(trial.samples) == 8
    assert trial.measured.scheduled_at == pytest.approx([0.02 + 0.01 * i for i in range(6)])


def test_throughput_counts_answers_in_the_window_that_are_no_errors() -> None:
    samples = make_samples(8)
    error = [0, 0, 0, ERRORS.index("status"), 0, 0, 0, 0]
    finished = samples.finished_at.copy()
    finished[-1] = 9.0  # answered, but long after the window
    changed = builders.changed(samples, error=error, finished_at=finished)
    # Of 8: two in the warm-up, one an error, one too late.
    assert make_trial(samples=changed).throughput == pytest.approx(4 / 0.06)


def test_an_answer_counts_in_the_window_in_which_it_arrives() -> None:
    samples = make_samples(8)
    finished = samples.scheduled_at + 0.02  # eight in flight: asked in the warm-up, answered later
    queued = builders.changed(samples, finished_at=finished)
    assert make_trial(samples=queued).throughput == pytest.approx(6 / 0.06)


def test_a_quantile_that_censored_samples_reach_is_infinite() -> None:
    trial = make_trial(samples=make_samples(100, late=40), warmup=0.0, seconds=1.0)
    assert trial.quantile(0.5) == pytest.approx(0.002)
    assert trial.quantile(0.6) == pytest.approx(0.002)
    assert trial.quantile(0.61) == INF
    assert trial.quantile(0.95) == INF


@pytest.mark.parametrize(
    ("p", "needed"),
    [(0.5, 1), (0.9, 50), (0.95, 100), (0.989, 100), (0.99, 2_000), (0.999, 20_000)],
)
def test_a_quantile_needs_its_samples(p: float, needed: int) -> None:
    assert quantile_of(np.ones(needed), p) == 1.0
    with pytest.raises(RefusedError, match=f"at least {needed} samples"):
        quantile_of(np.ones(needed - 1), p)


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1e3), min_size=100, max_size=300),
    st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.57, 0.7, 0.9, 0.95]),
)
def test_quantiles_are_those_of_the_inverse_distribution(values: list[float], p: float) -> None:
    expected = np.quantile(values, p, method="inverted_cdf")
    assert quantile_of(np.array(values), p) == expected


def test_a_twin_that_is_not_declared_is_rejected() -> None:
    with pytest.raises(ValidationError, match="twin 'c'"):
        Comparison(name="x", labels=("a", "b"), twin="c", blocks=1, seed=0, trials=())


@pytest.mark.parametrize(
    ("n", "p", "seen"),
    [
        (10, 0.5, 5.0),  # of ten values the fifth, nothing between the fifth and the sixth
        (10, 0.51, 6.0),
        (100, 0.07, 7.0),  # as 0.07 * 100 is above 7, its ceiling would be 8
    ],
)
def test_a_quantile_is_a_latency_that_was_seen(n: int, p: float, seen: float) -> None:
    assert quantile_of(np.arange(1.0, n + 1), p) == seen


@pytest.mark.parametrize("p", [-0.1, 1.1, 99, NAN])
def test_an_impossible_level_is_refused(p: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        quantile_of(np.ones(100_000), p)


def test_a_latency_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        quantile_of(np.array([1.0, NAN]), 0.5)


def test_trials_of_a_label_come_in_block_order() -> None:
    trials = tuple(make_trial("a", block=block) for block in (2, 0, 1))
    whole = Comparison(name="x", labels=("a",), twin="a", blocks=3, seed=0, trials=trials)
    assert [trial.block for trial in whole.of("a")] == [0, 1, 2]
    assert whole.of("b") == []


# Bad stored results

GOOD: dict[str, Any] = json.loads(make_comparison().model_dump_json())
GOOD_RECORD: dict[str, Any] = json.loads(make_record().model_dump_json())

COLUMNS = [name for name in Samples.model_fields if name != "workers"]
TIMES = [name for name in COLUMNS if name not in {"status", "error", "worker"}]
CODES = ["status", "error", "worker"]
NO_NOISE = [
    builders.finding("sent", "generator").model_dump(),
    builders.finding(kind="wrong data").model_dump(),
    "steal",
]
NOT_NUMBERS: list[Any] = ["1.0", "", True, [], [1.0], {}, {"a": 1}]

trial_number = st.integers(0, 2)
row = st.integers(0, 7)


@st.composite
def wrong_comparison(draw: st.DrawFn) -> dict[str, Any]:
    """A stored comparison with one thing wrong."""
    stored = copy.deepcopy(GOOD)
    trial = stored["trials"][draw(trial_number)]
    samples, generator = trial["samples"], trial["generator"]
    holder: dict[str, Any] = draw(st.sampled_from([stored, trial, samples, generator]))
    kinds = ["key lost", "key added", "length", "time", "code", "column", "scalar", "meaning"]
    kind = draw(st.sampled_from(kinds))
    if kind == "key lost":
        optional = {"rejected", "findings", "workers", "length_unknown", "retries"}
        del holder[draw(st.sampled_from(sorted(set(holder) - optional)))]
    elif kind == "key added":
        name = draw(st.text(min_size=1).filter(lambda key: key not in holder))
        holder[name] = draw(st.none() | st.integers())
    elif kind == "length":
        column = samples[draw(st.sampled_from(COLUMNS))]
        if draw(st.booleans()):
            column.append(column[0])
        else:
            del column[draw(row) :]
    elif kind == "time":
        value = draw(st.sampled_from([*NOT_NUMBERS, INF, -INF, 10**400]))
        samples[draw(st.sampled_from(TIMES))][draw(row)] = value
    elif kind == "code":
        value = draw(st.sampled_from([*NOT_NUMBERS, None, 1.5, 2**31, -(2**63), 10**30, -2, 1000]))
        samples[draw(st.sampled_from(CODES))][draw(row)] = value
    elif kind == "column":
        wrong = [None, 3, "12345678", {}, {"0": 1.0}, [[1.0]] * 8, [[1, 2]] * 8]
        samples[draw(st.sampled_from(COLUMNS))] = draw(st.sampled_from(wrong))
    elif kind == "scalar":
        where, name, values = draw(
            st.sampled_from(
                [
                    (stored, "blocks", [0, -1, 1.5, None, "many", INF]),
                    (stored, "labels", [None, "a", [1], []]),
                    (stored, "trials", [None, {}, [None], [[]]]),
                    (trial, "label", ["", None, 3]),
                    (trial, "block", [-1, 0.5, None]),
                    (trial, "seed", [-1, 0.5, None, "x"]),
                    (trial, "warmup", [-0.1, None, NAN, INF, []]),
                    (trial, "seconds", [0, -1, None, NAN, INF]),
                    (trial, "deadline", [0, -1, None, NAN, INF]),
                    (trial, "setup", [None, [], "x"]),
                    (trial, "health", [None, {"psi": None}, {"psi": "high"}]),
                    (trial, "samples", [None, [], {}]),
                    (generator, "planned", [-1, None, 0.5]),
                    (generator, "cpu_seconds", [-1, None, NAN, INF]),
                    (generator, "run_queue_seconds", [-1, None, INF]),
                ]
            )
        )
        where[name] = draw(st.sampled_from(values))
    else:
        change: Callable[[], Any] = draw(
            st.sampled_from(
                [
                    lambda: stored.update(twin="nobody"),
                    lambda: stored.update(labels=["a", "a", "b"]),
                    lambda: stored.update(rejected=stored["trials"]),
                    lambda: trial.update(label="stranger"),
                    *(lambda found=found: trial.update(findings=[found]) for found in NO_NOISE),
                    lambda: generator.update(sent=9),
                    lambda: samples.update(workers=["7/1"]),
                    lambda: samples["finished_at"].__setitem__(draw(row), -1.0),
                    lambda: samples["scheduled_at"].__setitem__(draw(row), None),
                    lambda: samples["scheduled_at"].__setitem__(draw(row), -0.01),
                    lambda: samples["service"].__setitem__(draw(row), -0.01),
                    lambda: samples["finished_at"].__setitem__(draw(st.integers(0, 6)), None),
                    lambda: samples["error"].__setitem__(draw(st.integers(0, 6)), DEADLINE),
                ]
            )
        )
        change()
    return stored


@settings(deadline=None, max_examples=1_000, suppress_health_check=ONE_FOLDER)
@given(wrong_comparison())
def test_a_thousand_bad_results_are_rejected(tmp_path: Path, stored: dict[str, Any]) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(stored))
    with pytest.raises(ResultError, match=r"bad\.json is not a valid Comparison"):
        load(Comparison, path)


def test_the_good_result_that_the_bad_ones_are_made_of_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "good.json"
    path.write_text(json.dumps(GOOD))
    assert len(load(Comparison, path).trials) == 3
    path.write_text(json.dumps(GOOD_RECORD))
    assert len(load(LoadRecord, path).samples) == 8


@settings(deadline=None, max_examples=200, suppress_health_check=ONE_FOLDER)
@given(st.data())
def test_truncated_and_garbled_files_are_rejected(tmp_path: Path, data: st.DataObject) -> None:
    whole = json.dumps(GOOD_RECORD).encode()
    path = tmp_path / "bad.json"
    path.write_bytes(
        data.draw(
            st.one_of(
                st.integers(0, len(whole) - 1).map(lambda end: whole[:end]),
                st.integers(1, len(whole) - 1).map(lambda start: whole[start:]),
                st.binary(max_size=50),
                st.sampled_from([whole + whole, b"null", b"[]", b"\xff\xfe" + whole, b"[" * 5_000]),
            )
        )
    )
    with pytest.raises(ResultError):
        load(LoadRecord, path)


@pytest.mark.parametrize("version", [0, 2, None, "one", 1.5])
def test_an_unknown_schema_is_rejected(version: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**GOOD_RECORD, "schema_version": version}))
    with pytest.raises(ResultError, match="schema_version"):
        load(LoadRecord, path)


@pytest.mark.parametrize(
    "changes",
    [
        *({"estimate": 1.4}, {"estimate": NAN}, {"low": 3.5}, {"high": NAN}, {"low90": 2.9}),
        *({"floor": 0.5}, {"floor": NAN}, {"values": (1.0, NAN)}),
        *({"n": -1}, {"a12": 1.5}, {"kind": "guess"}),
    ],
)
def test_an_effect_that_contradicts_itself_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_effect(**changes)


@pytest.mark.parametrize(
    "column",
    [
        np.array([True, False]),
        np.array(["1", "2"]),
        np.array([[1.0], [2.0]]),
        np.array([1, "x"], dtype=object),
        np.array([1.0, INF]),
        "12",
        None,
        iter([1.0, 2.0]),
    ],
)
def test_a_column_must_be_one_row_of_finite_numbers(column: Any) -> None:
    with pytest.raises(ValidationError, match="sent_at"):
        builders.samples([0.1] * 2, sent_at=column)


def test_a_code_does_not_wrap_around() -> None:
    with pytest.raises(ValidationError, match="32 bits"):
        builders.samples([0.1] * 2, status=np.array([200, 2**32 + 200]))


def test_a_missing_file_and_a_folder_are_result_errors(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="does not exist"):
        load(Effect, tmp_path / "none.json")
    with pytest.raises(ResultError, match="cannot be read"):
        load(Effect, tmp_path)


# Atomic save

OLD, NEW = make_effect(what="old"), make_effect(what="new " + "x" * 20_000)


def only_file(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == ["x.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_saving_makes_the_folders_and_a_file_with_the_mode_that_the_umask_allows(
    umask: int, mode: int, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "er" / "x.json"
    before = os.umask(umask)
    try:
        save(OLD, path)
        assert load(Effect, path) == OLD
        assert path.stat().st_mode & 0o777 == mode
        path.chmod(0o640)
        save(NEW, path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640  # a file that is there keeps its own
    assert only_file(path.parent)


def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(tmp_path: Path) -> None:
    path, link, far = tmp_path / "x.json", tmp_path / "a" / "link", tmp_path / "b" / "link"
    save(OLD, path)
    for one, to in ((link, "../x.json"), (far, "../a/link")):
        one.parent.mkdir()
        one.symlink_to(to)
    save(NEW, far)
    assert far.is_symlink()
    assert link.is_symlink()
    assert load(Effect, path) == NEW
    assert path.is_file()
    assert not path.is_symlink()


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Whatever may stand where a result is to be saved, by name."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to-device").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as sock, (tmp_path / "open").open("w") as file:
        sock.bind(str(tmp_path / "socket"))
        names = ("folder", "pipe", "loop", "to-device", "socket")
        yield {
            **{name: tmp_path / name for name in names},
            "device": Path("/dev/null"),
            "open file": Path(f"/proc/self/fd/{file.fileno()}"),
            "open file by another name": Path(f"/dev/fd/{file.fileno()}"),
            "nothing": Path(),
            "below a file": tmp_path / "open" / "x.json",
            "in the kernel": Path("/proc/x.json"),
        }


ODD = ("folder", "pipe", "loop", "to-device", "socket", "device", "open file",
       "open file by another name", "nothing", "below a file", "in the kernel")  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_nothing_but_an_ordinary_file_is_ever_replaced(name: str, odd: dict[str, Path]) -> None:
    path = odd[name]
    before = path.lstat() if path.is_symlink() or path.exists() else None
    with pytest.raises((InputError, OSError)):
        save(NEW, path)
    with pytest.raises(InputError):
        check_destination(path)
    after = path.lstat() if before else None
    assert before is None or after is None or before.st_ino == after.st_ino


def test_a_place_to_save_to_is_checked_without_leaving_anything(tmp_path: Path) -> None:
    check_destination(tmp_path / "x.json", 1000)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="is not a folder; make it"):
        check_destination(tmp_path / "none" / "x.json")
    with pytest.raises(InputError, match="MB left; make room"):
        check_destination(tmp_path / "x.json", 10**18)


def test_what_cannot_be_written_after_all_is_kept_elsewhere_and_the_error_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    (tmp_path / "x.json").mkdir()  # it was not there when it was checked
    with pytest.raises(ResultError, match=r"is a folder.*what was measured is kept in") as caught:
        write_or_rescue(tmp_path / "x.json", "measured")
    (copy,) = spare.iterdir()
    assert str(copy) in str(caught.value)
    assert copy.read_text() == "measured"


def test_that_there_is_no_place_for_a_copy_either_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(ResultError, match="no copy could be kept"):
        write_or_rescue(tmp_path, "measured")


@pytest.mark.parametrize("step", ["open", "copymode", "fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_failing_step_leaves_the_old_result_whole(
    step: str, failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    save(OLD, path)

    def fail(*args: object, **kwargs: object) -> None:
        raise failure

    owner = {"fsync": "os", "copymode": "shutil"}.get(step, "pathlib.Path")
    with monkeypatch.context() as patch:
        patch.setattr(f"{owner}.{step}", fail)
        with pytest.raises(type(failure)):
            save(NEW, path)
    assert load(Effect, path) == OLD
    assert only_file(tmp_path)
    save(NEW, path)
    assert load(Effect, path) == NEW


@pytest.mark.parametrize("limit", [0, 1, 100, 8_191, 8_192, 16_384, 20_000])
def test_a_disk_that_fills_up_leaves_the_old_result_whole(limit: int, tmp_path: Path) -> None:
    # A real failing write: the kernel refuses every byte of a file beyond the limit.
    path = tmp_path / "x.json"
    save(OLD, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            save(NEW, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert load(Effect, path) == OLD
    assert only_file(tmp_path)


def test_text_that_cannot_be_encoded_leaves_the_old_result_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    save(OLD, path)
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "fine so far \ud800")
    assert load(Effect, path) == OLD
    assert only_file(tmp_path)


def test_a_reader_and_a_killed_writer_never_meet_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    script = (
        "import sys; from pathlib import Path\n"
        "from gatewaylab.records.storage import write_atomically\n"
        "while True:\n"
        "    for letter in 'ab': write_atomically(Path(sys.argv[1]), letter * 300_000)"
    )
    whole, seen, reads = {"a" * 300_000, "b" * 300_000}, set[str](), itertools.count(1)
    with subprocess.Popen([sys.executable, "-c", script, str(path)]) as writer:
        try:
            assert until(path.exists, within=60)

            def read() -> bool:
                seen.add(path.read_text())
                return next(reads) >= 300 and seen >= whole

            assert until(read, within=60, every=0)
        finally:
            writer.kill()
    assert seen | {path.read_text()} == whole
