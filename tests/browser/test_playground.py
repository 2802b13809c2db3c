"""The playground: its model request by request, and its controls, in a real browser."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from bookext.experiments import EXPERIMENTS
from bookext.playground import SCRIPT
from bookext.slotmodel import percent
from bookext.still import slots_of
from playwright.sync_api import Browser, BrowserContext, Page

from gatewaylab.model.arrivals import Poisson
from gatewaylab.model.quantiles import quantile_of
from gatewaylab.model.queueing import kiefer_wolfowitz, slots_and_cores, throughput_limit
from tests import ROOT

from .conftest import served
from .test_site import Visit

pytestmark = pytest.mark.browser

#: Five hundred requests of a second each: a loop holds them all, 64 threads do not.
CROWD = "#playground_r500_w1000_c0_a-threads-64-1_b-loop-1-1_s7_t700"
PLAN = "(await import('/playground/random.js'))"
QUEUE = "(await import('/playground/queue.js'))"


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """An empty page from which the script's modules can be imported."""
    with served(ROOT / "book" / "assets") as address:
        page = browser.new_page()
        page.goto(f"{address}favicon.svg")
        yield page
        page.close()


# The model


@pytest.mark.parametrize("seed", [0, 1, 2026, 2**31 - 1, 2**32, 2**53 - 1])
def test_arrivals_are_the_books_own(modules: Page, seed: int) -> None:
    plan = Poisson(30.0).plan(60.0, seed)
    asked = f"async () => {{ const {{ gaps, arrivals }} = {PLAN}; "
    found = modules.evaluate(f"{asked}return [...arrivals(gaps({seed}, {len(plan)}), 30)]; }}")
    # Two libraries may round a logarithm differently in its last digit.
    np.testing.assert_allclose(found, plan, rtol=1e-13)


@pytest.mark.parametrize("one", EXPERIMENTS, ids=lambda one: one.name)
@pytest.mark.parametrize("seed", [2026, 669772288])
def test_every_request_of_every_experiment_is_as_the_model_says(
    modules: Page, one: Any, seed: int
) -> None:
    plan = Poisson(one.rate).plan(4000 / one.rate, seed)[:3000]
    hold, compute = one.hold / 1000, one.compute / 1000
    for lane in one.lanes:
        slots = slots_of(lane)
        found = run(modules, plan, hold, compute, slots, lane.cores)
        latencies = np.array([each["end"] - each["arrival"] for each in found["requests"]])
        expected = slots_and_cores(plan, hold, compute, slots, lane.cores)
        np.testing.assert_allclose(latencies, expected, atol=1e-9)
        if not compute and slots is not None:
            queue = kiefer_wolfowitz(plan, hold, slots)
            np.testing.assert_allclose(latencies, queue + hold, atol=1e-9)
        for name, level in (("p50", 0.5), ("p99", 0.99)):
            assert found["summary"][name] == pytest.approx(quantile_of(expected, level))
        waits = float((expected - hold - compute > 1e-9).mean())
        assert found["summary"]["waited"] == pytest.approx(waits)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("slots", [1, 5, None])
def test_slots_and_cores_together_are_as_the_model_says(
    modules: Page, slots: int | None, cores: int
) -> None:
    plan = Poisson(60.0).plan(20.0, 5)
    found = run(modules, plan, 0.04, 0.015, slots, cores)
    latencies = [each["end"] - each["arrival"] for each in found["requests"]]
    np.testing.assert_allclose(
        latencies, slots_and_cores(plan, 0.04, 0.015, slots, cores), atol=1e-9
    )
    limits = [throughput_limit(cores, 0.015), throughput_limit(slots, 0.055)]
    assert found["limit"] == pytest.approx(min(limits))


def run(
    modules: Page, plan: Any, hold: float, compute: float, slots: int | None, cores: int
) -> Any:
    """What the script's model makes of a plan."""
    return modules.evaluate(
        f"""async ([plan, hold, compute, slots, cores]) => {{
          const {{ limit, serve, summary }} = {QUEUE};
          const server = {{ hold, compute, slots: slots ?? Infinity, cores }};
          const requests = serve(plan, server);
          return {{ requests, summary: summary(requests), limit: limit(server) }};
        }}""",
        [plan.tolist(), hold, compute, slots, cores],
    )


# The page


class Playground:
    """A page with a playground, opened, with everything that it complained about."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.visit = Visit(context, url, quick=True)
        self.page = self.visit.page
        self.page.locator(".playground-app").wait_for()

    def part(self, name: str) -> Any:
        return self.page.locator(f"[data-pg={name}]")

    def unfold(self) -> None:
        """Show what changes the set-ups, and their numbers."""
        if self.part("more").get_attribute("open") is None:
            self.page.locator(".playground-app summary").click()

    def said(self, name: str) -> str:
        return str(self.part(name).inner_text())

    @property
    def moment(self) -> float:
        return float(self.part("time").input_value())

    @property
    def counts(self) -> list[int]:
        return [int(self.said(f"{n}-{k}")) for k in "ab" for n in ("waiting", "busy", "done")]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until a condition holds: the policy of the pages forbids that they are asked to wait."""
        end = monotonic() + 60
        while not condition():
            assert monotonic() < end
            self.page.wait_for_timeout(10)

    def data(self) -> Any:
        text = self.page.locator(".playground-stage script").text_content()
        return json.loads(text or "")


@pytest.fixture(params=["index.html", "book/mental-model.html"])
def playground(context: BrowserContext, address: str, request: pytest.FixtureRequest) -> Playground:
    return Playground(context, address + request.param)


def test_it_stands_still_and_tells_its_story_before_anyone_acts(playground: Playground) -> None:
    first, second = playground.counts[:3], playground.counts[3:]
    assert playground.said("play") == "Play"
    assert first[0] > 5 > second[0]
    playground.page.wait_for_timeout(300)  # long enough for what moves by itself
    assert playground.counts == [*first, *second]
    assert "playground_" not in playground.page.url
    assert not playground.page.locator(".playground-still").is_visible()
    assert playground.visit.complaints == []


def test_the_first_lane_counts_what_the_model_says(playground: Playground) -> None:
    one = playground.data()["experiments"][0]
    plan = Poisson(one["rate"]).plan(one["seconds"], one["seed"])
    now = playground.moment / 1000 * one["seconds"]
    expected = []
    for slots in (1, 8):
        ends = plan + slots_and_cores(plan, one["hold"] / 1000, 0.0, slots, 1)
        taken = ends - one["hold"] / 1000
        expected += [
            ((plan <= now) & (taken > now + 1e-9)).sum(),
            ((taken <= now + 1e-9) & (ends > now)).sum(),
        ]
        expected += [(ends <= now).sum()]
    assert playground.counts == expected


def test_a_mouse_plays_pauses_steps_and_takes_an_experiment(playground: Playground) -> None:
    page = playground.page
    playground.unfold()
    playground.part("restart").click()
    assert playground.moment == 0
    playground.part("play").click()
    playground.wait(lambda: playground.moment > 20)
    playground.part("play").click()
    assert playground.said("play") == "Play"
    paused = playground.moment
    playground.part("step").click()
    assert playground.moment > paused
    page.get_by_role("button", name="Computing").click()
    assert page.locator(".pg-presets [aria-pressed=true]").all_inner_texts() == ["Computing"]
    assert playground.said("rate-said") == "40 a second"
    assert playground.part("recorded").is_disabled()
    assert playground.said("limit-a") == "33.3 a second"
    page.locator("canvas").first.click()
    assert playground.said("play") == "Pause"
    assert playground.visit.complaints == []


def test_a_run_ends_by_itself_and_begins_again(playground: Playground) -> None:
    playground.unfold()
    playground.part("speed").select_option("3")
    playground.part("play").click()
    playground.wait(lambda: playground.said("play") == "Play again")
    assert playground.moment == 1000
    playground.part("play").click()
    playground.wait(lambda: playground.moment < 900)


def test_the_keyboard_reaches_and_moves_everything(playground: Playground) -> None:
    page = playground.page
    playground.part("play").focus()
    reached, seen = [], []
    for _ in range(40):
        reached.append(
            page.evaluate("document.activeElement.dataset.pg || document.activeElement.textContent")
        )
        seen.append(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
        if reached[-1] == "Change it":
            page.keyboard.press("Enter")
        page.keyboard.press("Tab")
    controls = ["play", "step", "time", *(one.title for one in EXPERIMENTS), "Change it",
                "kind-a", "cores-a", "kind-b", "slots-b", "cores-b", "rate", "hold", "compute",
                "restart", "speed", "recorded"]  # fmt: skip
    if playground.part("recorded").is_disabled():
        controls.remove("recorded")
    assert reached[: len(controls)] == controls
    assert "none" not in seen[: len(controls)]
    playground.part("rate").focus()
    page.keyboard.press("ArrowRight")
    assert playground.said("rate-said") == "40 a second"
    assert playground.part("rate").get_attribute("aria-valuetext") == "40 a second"
    playground.part("time").focus()
    before = playground.moment
    page.keyboard.press("ArrowLeft")
    assert playground.moment < before
    page.keyboard.press("Home")
    assert playground.moment == 0
    playground.part("step").focus()
    page.keyboard.press("Enter")
    assert playground.moment > 0
    playground.part("play").focus()
    page.keyboard.press("Space")
    assert playground.said("play") == "Pause"


@pytest.mark.parametrize("width", [360, 390])
def test_touch_drives_it_on_a_phone(browser: Browser, address: str, width: int) -> None:
    phone = browser.new_context(
        viewport={"width": width, "height": 740}, is_mobile=True, has_touch=True
    )
    playground = Playground(phone, address)
    page = playground.page
    page.locator("canvas").last.tap()
    before = playground.moment
    playground.wait(lambda: playground.moment > before)
    playground.part("play").tap()
    page.locator(".playground-app summary").tap()
    playground.part("restart").tap()
    assert playground.moment == 0
    playground.part("hold").scroll_into_view_if_needed()
    box = playground.part("hold").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    assert playground.said("hold-said") == "5000 ms"
    page.get_by_role("button", name="A blocking call").tap()
    assert playground.part("kind-a").input_value() == "blocking"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    sizes = page.evaluate(
        """[...document.querySelectorAll('.playground-app :is(button, input, select, summary)')]
        .filter((one) => one.checkVisibility()).map((one) => [one.offsetWidth, one.offsetHeight])"""
    )
    assert len(sizes) > 20
    assert min(min(size) for size in sizes) >= 24
    outside = page.evaluate(
        """[...document.querySelectorAll('.playground-app *')]
        .filter((one) => !one.closest('.pg-presets, .pg-hidden'))
        .filter((one) => one.getBoundingClientRect().right > innerWidth
          || (one.clientWidth && one.tagName != 'SELECT' && one.scrollWidth > one.clientWidth))
        .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert outside == []
    assert playground.visit.complaints == []
    phone.close()


def test_the_picture_is_seen_before_anything_is_scrolled(browser: Browser, address: str) -> None:
    """Both lanes and Play on a desktop; on a phone both names and the first lane's picture."""
    for width, height, parts in (
        (1280, 900, ["canvas-b", "play"]),
        (390, 844, ["canvas-a", "lane-b"]),
    ):
        context = browser.new_context(viewport={"width": width, "height": height})
        playground = Playground(context, address)
        for name in parts:
            box = playground.part(name).bounding_box()
            assert box["y"] + box["height"] <= height
        context.close()


def test_paper_has_the_drawing_and_the_words_and_no_controls(
    context: BrowserContext, address: str
) -> None:
    playground = Playground(context, address)
    playground.page.emulate_media(media="print")
    assert not playground.page.locator(".playground-app").is_visible()
    assert playground.page.locator(".playground-still svg").first.is_visible()
    told = playground.page.locator(".playground-still").inner_text()
    assert [one.story for one in EXPERIMENTS if one.story not in told] == []


def test_reduced_motion_steps_and_never_plays(context: BrowserContext, address: str) -> None:
    context.add_init_script(
        """window.frames_asked = 0;
        const ask = window.requestAnimationFrame;
        window.requestAnimationFrame = (f) => (frames_asked += 1, ask(f));"""
    )
    page = context.new_page()
    page.emulate_media(reduced_motion="reduce")
    page.goto(address)
    assert not page.locator("[data-pg=play]").is_visible()
    before = page.evaluate("window.frames_asked")
    moments = [float(page.locator("[data-pg=time]").input_value())]
    for _ in range(3):
        page.locator("canvas").first.click()
        moments.append(float(page.locator("[data-pg=time]").input_value()))
    page.locator("[data-pg=step]").click()
    moments.append(float(page.locator("[data-pg=time]").input_value()))
    assert moments == sorted(set(moments))
    assert page.evaluate("window.frames_asked") == before


def test_without_scripts_a_drawing_stands_there(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator(".playground-still").is_visible()
    assert page.locator(".playground-still svg").count() == 2
    told = page.locator(".playground-still").inner_text()
    assert [one.story for one in EXPERIMENTS if one.story not in told] == []
    assert not page.locator(".playground-app").is_visible()
    context.close()


def test_it_runs_from_the_disk_and_keeps_its_state_in_the_address(
    context: BrowserContext, site: Path
) -> None:
    playground = Playground(context, (site / "index.html").as_uri())
    page = playground.page
    page.get_by_role("button", name="Greenlets or loop").click()
    playground.unfold()
    playground.part("cores-b").fill("3")
    playground.part("cores-b").press("Enter")
    playground.part("rate").fill("15")
    playground.part("time").fill("250")
    fragment = page.evaluate("location.hash")
    seen = (fragment, playground.counts, playground.said("rate-said"), playground.said("name-b"))
    assert seen[2:] == ("150 a second", "event loop × 3")
    other = Playground(context, page.url)
    again = (other.page.evaluate("location.hash"), other.counts, other.said("rate-said"),
             other.said("name-b"))  # fmt: skip
    assert again == seen
    assert [playground.visit.complaints, other.visit.complaints] == [[], []]


@pytest.mark.parametrize(
    "fragment",
    ["#playground", "#playground_r0", CROWD.replace("threads", "elephants"), "#<script>", "#%"],
)
def test_a_fragment_that_is_none_of_its_states_is_left_alone(
    context: BrowserContext, address: str, fragment: str
) -> None:
    playground = Playground(context, address + fragment)
    pressed = playground.page.locator(".pg-presets [aria-pressed=true]").all_inner_texts()
    assert pressed == [EXPERIMENTS[0].title]


def test_numbers_out_of_range_in_an_address_are_held_within_it(
    context: BrowserContext, address: str
) -> None:
    far = CROWD.replace("r500", "r99999").replace("threads-64-1", "threads-9999-0")
    playground = Playground(context, address + far)
    assert playground.said("rate-said") == "500 a second"
    assert playground.part("slots-a").input_value() == "64"
    assert playground.part("cores-a").input_value() == "1"


def test_a_recorded_trial_plays_request_by_request(context: BrowserContext, address: str) -> None:
    playground = Playground(context, address)
    playground.unfold()
    for one in playground.data()["experiments"]:
        playground.page.get_by_role("button", name=one["title"]).click()
        switch = playground.part("recorded")
        assert switch.is_enabled() == (one["lanes"][0]["trace"] is not None)
        if not switch.is_enabled():
            assert "recorded" in playground.said("why")
            continue
        switch.check()
        plan = Poisson(one["rate"]).plan(one["seconds"], one["seed"])
        now = playground.moment / 1000 * one["seconds"]
        expected = []
        for lane in one["lanes"]:
            taken = plan + np.array(lane["trace"]["waits"]) / 1e4
            ends = taken + np.array(lane["trace"]["inside"]) / 1e4
            expected += [((plan <= now) & (taken > now)).sum()]
            expected += [((taken <= now) & (ends > now)).sum(), (ends <= now).sum()]
        assert playground.counts == expected
        assert playground.page.evaluate("location.hash").endswith("_recorded")
        switch.uncheck()


def test_measured_medians_lie_as_far_from_the_model_as_the_book_says(
    context: BrowserContext, address: str
) -> None:
    """The figure of all points states the same errors, and the largest of them."""
    playground = Playground(context, address + "book/mental-model.html")
    page = playground.page
    playground.unfold()
    said = re.search(r"largest deviation is ([0-9.]+)\s*%", page.locator("article").inner_text())
    assert said is not None
    rows = page.locator("table.model-points tbody tr").all_text_contents()
    for one in playground.data()["experiments"]:
        page.get_by_role("button", name=one["title"]).click()
        for key, lane in zip("ab", one["lanes"], strict=True):
            if lane["measured"] is None:
                continue
            far = lane["measured"]["median"] / lane["measured"]["model"] - 1
            assert abs(100 * far) <= float(said[1]) + 0.05  # which is rounded
            assert f"({100 * far:+.1f} %)".replace("-", "−") in playground.said(f"measured-{key}")
            assert [row for row in rows if row.strip().endswith(percent(far, sign=True))]


def test_five_hundred_requests_are_drawn_once_a_frame_and_add_nothing_to_the_page(
    context: BrowserContext, address: str
) -> None:
    context.add_init_script(
        """window.work = {arcs: 0, frames: 0};
        const arc = CanvasRenderingContext2D.prototype.arc;
        CanvasRenderingContext2D.prototype.arc = function (...given) {
          work.arcs += 1;
          return arc.apply(this, given);
        };
        const ask = window.requestAnimationFrame;
        window.requestAnimationFrame = (f) => ask((t) => { work.frames += 1; f(t); });"""
    )
    playground = Playground(context, address + CROWD)
    page = playground.page
    elements = page.evaluate("document.querySelectorAll('*').length")
    page.evaluate("Object.assign(work, {arcs: 0, frames: 0})")
    playground.part("play").click()
    playground.wait(lambda: page.evaluate("work.frames") >= 20)
    work = page.evaluate("work")
    assert page.evaluate("document.querySelectorAll('*').length") == elements
    inside = sum(playground.counts[:2]) + sum(playground.counts[3:5])
    assert inside > 500
    # Two lanes of at most 600 requests; a large dot has an arc for its progress besides.
    assert inside / 2 < work["arcs"] / work["frames"] < 2 * 2 * 600


def test_the_front_page_stays_light(site: Path) -> None:
    assert len(gzip.compress((site / "_static" / SCRIPT).read_bytes())) <= 15 * 1024
