"""How much there is to read: words of prose, badges and repeated sentences, page by page.

Words are counted in the sources, so that code, tables of evidence and cards that the build writes
don't count; badges and repeats are counted in the rendered pages, if there are any.

A *sentence* is what stands between two ends (``. ! ? :``) in one block of text: a paragraph, an
item of a list, a cell, a fact, a caption, a line that opens, also where it is hidden or folded at
first. It counts from eight words on. These are no sentences of the page:

- code, drawings, and navigation;
- a heading, because links to it say it again;
- a block of links only, because each of them says what it leads to;
- a badge, which is counted as such;
- a cell of a table that a notebook's cell printed, or of the table of states: two rows may have
  seen the same;
- the load that a command is for: each command says its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString

from tests import ROOT

SOURCES = sorted((ROOT / "index.md", *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.md")))
#: A sentence of fewer words may stand twice: "No number is shown here."
SHORTEST = 8

_BLOCKS = ["p", "li", "td", "th", "dd", "dt", "summary", "figcaption", "caption", "label"]
_HEADINGS = [f"h{level}" for level in range(1, 7)]
_BADGES = ".claim-badge, .common-verdict, .state-badge"
_NO_PROSE = (
    "pre, script, style, svg, math, nav, :is(.cell_output, .states) tbody td, .choice-load, "
    + _BADGES
)
_END = re.compile(r"(?<=[.!?:])[”’)]*\s+(?=[\w“‘(])")

#: A fenced block that holds no prose.
_BLOCK = re.compile(
    r"^(```+)(?!\{(?:note|tip|warning|admonition|dropdown|glossary)).*?^\1`*$", re.S | re.M
)


def prose(text: str) -> str:
    """The text of a page without front matter, code, options and the targets of links."""
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    body = _BLOCK.sub("", body)
    lines = [line for line in body.splitlines() if not re.match(r"\s*(:\w|\(|:::|```|%)", line)]
    plain = re.sub(r"\{claim\}`[^`<]*`", "", "\n".join(lines))
    plain = re.sub(r"\{[\w:-]+\}`([^`<]*)(?:<[^>]*>)?`", r"\1", plain)
    return re.sub(r"\]\([^)]*\)", "]", plain)


def words(text: str) -> int:
    """How many words of prose a source has; a number or a name is one."""
    return len(re.findall(r"\w[\w'’.-]*", prose(text)))


def repeats(page: str) -> list[str]:
    """The sentences that a rendered page prints more than once, in order of their first place."""
    seen = Counter(_sentences(page))
    return [sentence for sentence, times in seen.items() if times > 1]


def badges(page: str) -> list[str]:
    """The marks of verdicts and states on a rendered page, as they read."""
    return [one.get_text() for one in _article(page).select(_BADGES)]


def badged_twice(page: str) -> list[str]:
    """The claims whose badge a rendered page shows more than once."""
    seen: Counter[str] = Counter()
    for one in _article(page).select(".claim-badge"):
        line = one.find_parent(["summary", "tr"])  # of a card, of the ledger
        named = line.select_one(".claim-id") if line is not None else None
        if number := re.match(r"[A-Z]\d+(?= · )", one.get_text()):
            seen[number[0]] += 1
        elif named is not None:
            seen[named.get_text()] += 1
    return [claim for claim, times in seen.items() if times > 1]


def _sentences(page: str) -> Iterator[str]:
    article = _article(page)
    for one in article.select(_NO_PROSE):
        one.decompose()
    blocks: dict[int, list[NavigableString]] = {}
    for text in article.find_all(string=True):
        if type(text) is NavigableString and not text.find_parent(_HEADINGS):
            blocks.setdefault(id(text.find_parent(_BLOCKS) or text.parent), []).append(text)
    for texts in blocks.values():
        if any(re.search(r"\w", text) and not text.find_parent("a") for text in texts):
            sentences = _END.split(" ".join("".join(texts).split()))
            yield from (one.strip("“‘(") for one in sentences if _counted(one) >= SHORTEST)


def _counted(text: str) -> int:
    return len([one for one in text.split() if re.search(r"\w", one)])


def _article(page: str) -> Tag:
    soup = BeautifulSoup(page, "html.parser")
    return soup.select_one("article") or soup


def main() -> None:
    total = 0
    print(f"{'page':45} words  badges  repeated sentences")
    for source in SOURCES:
        name = source.relative_to(ROOT).with_suffix("")
        count = words(source.read_text(encoding="utf-8"))
        total += count
        page = ROOT / "_build" / "html" / name.with_suffix(".html")
        rendered = "     –  –"
        if page.exists():
            html = page.read_text(encoding="utf-8")
            rendered = f"{len(badges(html)):6}  {len(repeats(html))}"
        print(f"{name!s:45} {count:5}  {rendered}")
    print(f"{'all':45} {total:5}")


if __name__ == "__main__":
    main()
