"""What opens: claims in one line each, and the quick comparison on one screen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from .conftest import barriers

pytestmark = pytest.mark.browser

LEDGER = "book/claims-interfaces.html"
COMPARISON = "book/comparison.html"

#: Of each card: its id, whether it is open, and whether the last line of its facts can be seen.
CARDS = """() => [...document.querySelectorAll('.claim-card > details')].map(card => [
  card.closest('section').id, card.open,
  card.querySelector('.claim-facts > dd:last-of-type').checkVisibility()])"""

#: Of each closed card, how many lines its summary has: its height in heights of its number.
LINES = """() => [...document.querySelectorAll('.claim-card > details > summary')].map(line =>
  line.clientHeight / line.lastElementChild.getBoundingClientRect().height)"""


@pytest.fixture
def desktop(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


def test_each_claim_is_closed_and_one_line_with_its_verdict_and_number(
    desktop: Page, address: str
) -> None:
    desktop.goto(address + LEDGER)
    cards = desktop.evaluate(CARDS)
    assert len(cards) > 20
    assert [card for card in cards if card[1] or card[2]] == []
    assert max(desktop.evaluate(LINES)) < 2
    lines = desktop.locator(".claim-card summary")
    number = ":is(.claim-number, .measured-missing)"
    for part in (".claim-id", ".claim-badge", ".claim-statement", number):
        assert lines.locator(part).count() == len(cards)


def test_a_link_to_a_claim_opens_it_and_no_other(desktop: Page, address: str) -> None:
    desktop.goto(f"{address}{LEDGER}#c05")
    assert [card[0] for card in desktop.evaluate(CARDS) if card[1] and card[2]] == ["c05"]
    desktop.evaluate("location.hash = 'c13'")
    desktop.wait_for_function("document.querySelectorAll('.claim-card > details[open]').length > 1")
    assert [card[0] for card in desktop.evaluate(CARDS) if card[1]] == ["c05", "c13"]


def test_without_scripts_a_link_shows_the_claim_and_a_click_opens_another(
    browser: Browser, address: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}{LEDGER}#c05")
    facts = "section#{} .claim-facts > dd >> nth=0"
    assert page.locator(facts.format("c05")).is_visible()
    assert not page.locator(facts.format("c13")).is_visible()
    page.locator("section#c13 summary").click()
    assert page.locator(facts.format("c13")).is_visible()
    context.close()


@pytest.mark.parametrize("path", [LEDGER, COMPARISON])
def test_on_paper_all_is_open(desktop: Page, address: str, path: str) -> None:
    desktop.goto(address + path)
    hidden = """() => [...document.querySelectorAll('article details > :not(summary)')]
      .filter(part => !part.checkVisibility()).length"""
    assert desktop.evaluate(hidden) > 0
    desktop.emulate_media(media="print")
    assert desktop.evaluate(hidden) == 0


@pytest.mark.parametrize("path", [LEDGER, COMPARISON])
def test_what_is_opened_has_no_barrier(browser: Browser, address: str, path: str) -> None:
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(address + path)
    page.evaluate("document.querySelectorAll('article details').forEach(one => one.open = true)")
    assert barriers(page) == []
    context.close()


def test_the_comparison_is_one_screen_and_each_fold_has_a_name(desktop: Page, address: str) -> None:
    desktop.goto(address + COMPARISON)
    heights = desktop.evaluate(
        """() => ['table.comparison-table', '.bd-header'].map(
        name => document.querySelector(name).getBoundingClientRect().height)"""
    )
    assert sum(heights) <= 800
    names = desktop.locator(".comparison-table summary").all_text_contents()
    assert len(names) == len(set(names)) > 5


def test_three_columns_fit_a_narrow_phone(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, is_mobile=True)
    page = context.new_page()
    page.goto(address + COMPARISON)
    table, box, outside = page.evaluate(
        """() => {
        const table = document.querySelector('table.comparison-table');
        const cells = [...table.querySelectorAll('th, td')];
        return [table.scrollWidth, table.parentElement.clientWidth,
          cells.filter(c => c.scrollWidth > c.clientWidth
            || c.getBoundingClientRect().right > innerWidth).length];}"""
    )
    assert table <= box <= 360
    assert outside == 0
    tops = page.evaluate(
        "() => [...document.querySelectorAll('.comparison-table tbody tr:not(.row-more)')]"
        ".map(row => [...row.cells].map(cell => cell.getBoundingClientRect().top))"
    )
    assert [len(set(row)) for row in tops] == [1] * len(tops)
    assert {len(row) for row in tops} == {3}
    context.close()
