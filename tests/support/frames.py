"""How smoothly the playground plays 500 requests: ``python -m tests.support.frames``.

Counts the frames of two seconds in Chromium, once with nothing drawn and once while it plays, and
times the script of each frame. Chromium draws without a graphics card here: a reader's browser is
faster. It reports and asserts nothing, because both numbers are the machine's.
"""

from __future__ import annotations

from statistics import median, quantiles
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, SITE, served

#: Five hundred requests of a second each, halfway through their run, played slowly.
CROWD = "#playground_r500_w1000_c0_a-threads-64-1_b-loop-1-1_s7_t500"
SECONDS = 2

#: Every frame that is asked for leaves how long its script ran, in milliseconds.
WATCH = """window.frames_ran = [];
const ask = window.requestAnimationFrame;
window.requestAnimationFrame = (draw) => ask((now) => {
  const begun = performance.now();
  draw(now);
  frames_ran.push(performance.now() - begun);
});"""

EMPTY = "() => { const again = () => requestAnimationFrame(again); again(); }"


def main() -> None:
    """Measure and print; the site must be built."""
    with served(SITE) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(WATCH)
        page.goto(f"{address}favicon.svg")
        page.evaluate(EMPTY)
        tell("nothing drawn", counted(page))
        page.goto(f"{address}index.html{CROWD}")
        page.locator("[data-pg=speed]").select_option("0.4")
        page.locator("[data-pg=play]").click()
        page.locator("[data-pg=lane-a]").evaluate("head => head.scrollIntoView()")
        tell("500 requests", counted(page))
        browser.close()


def counted(page: Page) -> list[float]:
    """The milliseconds of script of every frame within two seconds of the page's own clock."""
    found: list[float] = page.evaluate(
        """(most) => new Promise((done) => {
          const begun = performance.now();
          frames_ran.length = 0;
          setTimeout(() => done([performance.now() - begun, ...frames_ran]), most);
        })""",
        1000 * SECONDS,
    )
    return found


def tell(what: str, found: list[Any]) -> None:
    """One line: frames a second, and what a frame's script took."""
    window, ran = found[0] / 1000, found[1:]
    late = quantiles(ran, n=100)[98]
    print(
        f"{what}: {len(ran) / window:.1f} frames a second; script of a frame: "
        f"median {median(ran):.2f} ms, 99 of 100 within {late:.2f} ms (of 16.7 ms)"
    )


if __name__ == "__main__":
    main()
