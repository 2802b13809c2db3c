"""The style sheet of readers without scripts: which rules it takes, and where it is linked."""

from __future__ import annotations

import pytest
from bookext.unscripted import SHEET, colours, linked

CSS = """/* html[data-theme=dark] { a } */ @charset "UTF-8";
.plain { color: red }
html[data-theme="light"] .x::before { content: "}{;" ; color: black }
html[data-theme=dark] .x, .y { color: white }
@media (min-width: 1px) { .z { color: blue } html[data-theme=dark] .z { color: grey } }
@media (min-width: 2px) { .z { color: blue } }
html[data-theme] .last { color: green }
"""


@pytest.mark.parametrize(
    ("theme", "expected"),
    [
        (
            "light",
            'html[data-theme] .x::before{ content: "}{;" ; color: black }'
            "html[data-theme] .last{ color: green }",
        ),
        (
            "dark",
            "html[data-theme] .x, .y{ color: white }"
            "@media (min-width: 1px){html[data-theme] .z{ color: grey }}"
            "html[data-theme] .last{ color: green }",
        ),
    ],
)
def test_the_rules_of_a_theme_hold_without_its_name(theme: str, expected: str) -> None:
    assert colours(CSS, theme) == expected


def test_the_sheet_is_linked_last_from_where_the_others_lie() -> None:
    page = '<head><link href="../_static/styles/theme.css?v=1" rel="stylesheet" /></head>'
    link = f'<noscript><link rel="stylesheet" href="../_static/{SHEET}"></noscript>'
    assert linked(page) == page.replace("</head>", f"{link}\n</head>")
    assert linked("<head></head>") == "<head></head>"
