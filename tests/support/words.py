"""How much there is to read: words of prose, badges and repeated sentences, page by page.

Words are counted in the sources, so that code, tables of evidence and cards that the build writes
don't count; badges and repeats are counted in the rendered pages, if there are any.
"""

from __future__ import annotations

import re
from collections import Counter

from bs4 import BeautifulSoup, Tag

from tests import ROOT

SOURCES = sorted((ROOT / "index.md", *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.md")))
#: A sentence of fewer words may stand twice: "No number is shown here."
SHORTEST = 8

#: A fenced block that holds no prose.
_BLOCK = re.compile(
    r"^(```+)(?!\{(?:note|tip|warning|admonition|dropdown|glossary)).*?^\1`*$", re.S | re.M
)


def prose(text: str) -> str:
    """The text of a page without front matter, code, options and the targets of links."""
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    body = _BLOCK.sub("", body)
    lines = [line for line in body.splitlines() if not re.match(r"\s*(:\w|\(|:::|```|%)", line)]
    plain = re.sub(r"\{(?:claim|verdict)\}`[^`]*`", "", "\n".join(lines))
    plain = re.sub(r"\{[\w:-]+\}`([^`<]*)(?:<[^>]*>)?`", r"\1", plain)
    return re.sub(r"\]\([^)]*\)", "]", plain)


def words(text: str) -> int:
    """How many words of prose a source has; a number or a name is one."""
    return len(re.findall(r"\w[\w'’.-]*", prose(text)))


def repeats(page: str) -> list[str]:
    """The sentences that a rendered page prints more than once, in order of their first place."""
    article = _article(page)
    for one in article.select("pre, script, style, svg, nav, code.literal-block"):
        one.decompose()
    seen: Counter[str] = Counter()
    for block in article.select("p, li, td, th, dd, summary, figcaption"):
        if block.select("p, li, td, dd, summary"):
            continue  # its parts are counted
        text = " ".join(block.get_text(" ", strip=True).split())
        for sentence in re.split(r"(?<=[.!?:;])\s+(?=\w)", text):
            if len(sentence.split()) >= SHORTEST:
                seen[sentence] += 1
    return [sentence for sentence, times in seen.items() if times > 1]


def badges(page: str) -> int:
    """How many marks of claims and of their verdicts a rendered page has."""
    return len(_article(page).select(".claim-badge, .verdict, .state-badge"))


def _article(page: str) -> Tag:
    found = BeautifulSoup(page, "html.parser").select_one("article") or BeautifulSoup(page, "lxml")
    assert isinstance(found, Tag)
    return found


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
            rendered = f"{badges(html):6}  {len(repeats(html))}"
        print(f"{name!s:45} {count:5}  {rendered}")
    print(f"{'all':45} {total:5}")


if __name__ == "__main__":
    main()
