"""The questions of *Which should you use?*, answered by mouse, by keyboard and by address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest
from bookext.answers import read_rules
from bookext.loads import Load
from playwright.sync_api import Browser, BrowserContext, Page

from gatewaylab.model.queueing import slots_needed
from tests import ROOT

from .conftest import barriers

pytestmark = pytest.mark.browser

RULES = read_rules(ROOT / "book" / "chooser.toml")
WHICH = "book/which.html"
FIRST = {question.name: question.answer[0].name for question in RULES.question}
SHOWN = "[...document.querySelectorAll('.choice')].filter(e => e.checkVisibility()).map(e => e.id)"
ALL = [f"choice-{name}" for name in RULES.choices]


def expected(answers: Mapping[str, str]) -> set[str]:
    return {f"choice-{name}" for name in RULES.decide(answers).values() if name}


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    opened = context.new_page()
    opened.goto(address + WHICH)
    return opened


def shown(page: Page) -> set[str]:
    return set(page.evaluate(SHOWN))


def answer(page: Page, answers: Mapping[str, str]) -> None:
    for name, value in answers.items():
        page.locator(f".chooser-form input[name={name}][value={value}]").check()


def test_every_set_of_answers_shows_what_the_rules_decide_and_what_would_change_it(
    page: Page,
) -> None:
    path = RULES.decision[0].name
    for answers in RULES.combinations():
        page.evaluate("hash => { location.hash = hash }", urlencode(answers))
        page.wait_for_function("document.querySelector('.chooser-link').hash === location.hash")
        assert shown(page) == expected(answers)
        flips = page.evaluate(
            "[...document.querySelectorAll('.choice-change li')].filter(e => e.checkVisibility())"
            ".map(e => [e.dataset.question, e.dataset.answer, e.dataset.to])"
        )
        taken = RULES.decide(answers)[path]
        others = [
            [question.name, one.name, RULES.decide({**answers, question.name: one.name})[path]]
            for question in RULES.question
            for one in question.answer
        ]
        assert flips == [other for other in others if other[2] != taken]


def test_the_mouse_narrows_the_paths_and_the_address_brings_them_back(
    page: Page, context: BrowserContext, address: str
) -> None:
    assert shown(page) == set(ALL)
    status = page.locator(".chooser-result")
    for asked, (name, value) in enumerate(FIRST.items(), 1):
        page.locator(f".chooser-form label:has([name={name}][value={value}])").click()
        assert ("Paths that are left" in status.inner_text()) == (asked < len(FIRST))
    assert shown(page) == expected(FIRST)
    assert status.get_attribute("role") == "status"
    assert RULES.choices[RULES.decide(FIRST)["path"]].title in status.inner_text()
    other = context.new_page()
    other.goto(page.url)
    assert shown(other) == expected(FIRST)
    page.locator(".chooser-form [type=reset]").click()
    page.wait_for_url(address + WHICH)
    assert shown(page) == set(ALL)


def test_the_keyboard_answers_and_a_link_changes_the_answer(page: Page) -> None:
    page.locator(".chooser-form input").first.focus()
    for _ in RULES.question:
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
    assert shown(page) == expected(FIRST)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    last = RULES.question[-1]
    assert shown(page) == expected({**FIRST, last.name: last.answer[1].name})
    changed = page.locator(".choice-change li:visible").first
    name, value, to = changed.evaluate("e => [e.dataset.question, e.dataset.answer, e.dataset.to]")
    changed.locator("a").focus()
    page.keyboard.press("Enter")
    assert f"choice-{to}" in shown(page)
    assert page.evaluate("document.activeElement.id") == f"choice-{to}"
    assert f"{name}={value}" in page.url


def test_the_result_is_the_command_for_the_numbers_of_the_form_and_the_address_carries_both(
    page: Page, context: BrowserContext
) -> None:
    answer(page, FIRST)
    result, card = page.locator(".chooser-result"), page.locator(".choice:visible").first
    example = card.locator("pre").inner_text()
    assert result.locator("pre").inner_text() == example
    assert result.locator("p:not(.choice-load)").count() == result.locator("> p > a").count()
    assert result.locator("code:not(pre code)").count() == 0
    page.locator("#slots-rate").fill("400")
    page.locator("#slots-cores").fill("4")
    threads = slots_needed(400 * Load().hold / 1000 / 4)
    command = result.locator("pre").inner_text()
    assert command == re.sub(
        r"--threads \d+ --workers \d+", f"--threads {threads} --workers 4", example
    )
    assert card.locator("pre").inner_text() == command
    assert f"{threads} threads in each of 4" in page.locator(".slots-answers").inner_text()
    said = result.locator(".choice-load").inner_text()
    assert said.replace("\u00a0", " ").startswith("For 400 requests a second of 120 ms, 4 cores")
    assert f"at most {4 * threads} database connections" in said
    assert "rate=400" in page.url
    other = context.new_page()
    other.goto(page.url)
    assert other.locator("#slots-rate").input_value() == "400"
    assert other.locator(".chooser-result pre").inner_text() == command
    page.locator("#slots-rate").fill("")
    assert result.locator("pre").inner_text() == example


def test_the_form_and_the_command_of_a_path_name_the_same_load_and_keep_what_was_typed(
    page: Page,
) -> None:
    """A path's example stands in the form until the reader says otherwise."""
    page.locator("#slots-hold").fill("50")
    for stay, streams in (("none", "0"), ("dozens", "50"), ("none", "0")):
        answer(page, {**FIRST, "stay": stay})
        assert page.locator("#slots-streams").input_value() == streams
        assert page.locator("#slots-hold").input_value() == "50"
        (threads,) = re.findall(
            r"--threads (\d+)", page.locator(".chooser-result pre").inner_text()
        )
        assert f"{threads} thread" in page.locator(".slots-answers").inner_text()
    assert "hold=50" in page.url
    assert "streams" not in page.url


def test_a_link_to_a_path_that_the_answers_hide_shows_it(page: Page) -> None:
    answer(page, FIRST)
    page.evaluate("location.hash = 'cpu-heavy'")
    page.locator("#cpu-heavy").wait_for(state="visible")
    assert shown(page) == set(ALL)


def test_without_scripts_all_paths_and_the_charts_that_lead_there_are_there(
    browser: Browser, address: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + WHICH)
    assert page.locator(".chooser-form").is_hidden()
    for name in ALL:
        assert page.locator(f"#{name}").is_visible()
        assert page.locator(f".flow a[href='#{name}']").first.is_visible()
    context.close()


def test_print_has_the_answers_and_the_chosen_path_only(page: Page) -> None:
    answer(page, FIRST)
    page.emulate_media(media="print")
    assert shown(page) == expected(FIRST)
    labels = page.locator(".chooser-form label:visible").all_inner_texts()
    assert [text.strip() for text in labels] == [q.answer[0].says for q in RULES.question]
    assert page.locator(
        "#how-many-slots-do-you-need, .slots-form, .flow, .chooser-actions"
    ).evaluate_all("parts => parts.length >= 4 && parts.every(e => !e.checkVisibility())")
    page.locator(".chooser-form [type=reset]").evaluate("e => e.click()")
    page.locator("#how-many-slots-do-you-need").wait_for(state="visible")
    assert shown(page) == set(ALL)


def test_the_form_works_from_the_disk_and_fits_a_narrow_phone(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((site / WHICH).as_uri())
    answer(page, FIRST)
    assert shown(page) == expected(FIRST)
    assert page.url.endswith(f"#{urlencode(FIRST)}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert complaints == []
    context.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_axe_finds_no_barrier_in_an_answer(
    browser_context_without_policy: BrowserContext, address: str, mode: str
) -> None:
    browser_context_without_policy.add_init_script(
        f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}')"
    )
    page = browser_context_without_policy.new_page()
    page.goto(f"{address}{WHICH}#{urlencode(FIRST)}")
    assert shown(page) == expected(FIRST)
    assert barriers(page) == []


def test_no_command_is_cut_off_on_paper(page: Page) -> None:
    page.set_viewport_size({"width": 500, "height": 800})
    page.emulate_media(media="print")
    cut = "blocks => blocks.filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)"
    commands = page.locator(".choice pre")
    assert commands.count() >= len(RULES.decision[0].choice)
    assert commands.evaluate_all(cut) == []
