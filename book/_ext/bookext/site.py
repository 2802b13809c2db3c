"""The site around the pages: addresses from the environment, published data, clean-up."""

from __future__ import annotations

import html
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pydata_sphinx_theme
from sphinx.application import ENV_PICKLE_FILENAME, Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.config import Config

from bookext import icons, replicated, sheet, unscripted, wording
from bookext.shelf import Shelf, shelf_of
from bookext.whose import machine_of
from gatewaylab.records.evidence import ClaimRecord, Evidence, schema

#: Where the site will be served, for example ``https://example.org/book/``; unset: unknown.
SITE_VARIABLE = "BOOK_SITE_URL"

#: The source repository's address; it turns on the edit, issue and repository buttons.
REPOSITORY_VARIABLE = "BOOK_REPOSITORY_URL"

#: Parts of the theme that no page refers to.
_UNUSED = ("scripts/fontawesome.js", "scripts/fontawesome.js.LICENSE.txt", "locales")


def addresses(app: Sphinx, config: Config) -> None:
    """Take the public addresses from the environment: no file of the project knows them."""
    site = os.environ.get(SITE_VARIABLE, "").strip()
    if site:
        site = site.rstrip("/") + "/"
        config.html_baseurl = site
        config.ogp_site_url = site
        config.ogp_image = site + "_static/social-card.png"
        config.notfound_urls_prefix = urlparse(site).path
    repository = os.environ.get(REPOSITORY_VARIABLE, "").strip().rstrip("/")
    if config.html_theme != "sphinx_book_theme":
        return
    options = config.html_theme_options
    for button in ("use_repository_button", "use_edit_page_button", "use_issues_button"):
        options[button] = bool(repository)
    options["repository_url"] = repository
    options["repository_branch"] = "main"


def date(app: Sphinx, config: Config) -> None:
    """Date the pages by the newest measurement: the same evidence makes the same pages any day."""
    newest = max((evidence.finished_at for evidence in shelf_of(app).every()), default=None)
    config.html_last_updated_fmt = None if newest is None else wording.day(newest)


def tidy_index(app: Sphinx) -> list[Any]:
    """Take words that no page has any more out of the search index, before it is written."""
    indexer = getattr(app.builder, "indexer", None)
    if indexer is not None:
        for words in (indexer._mapping, indexer._title_mapping):
            for word in [word for word, pages in words.items() if not pages]:
                del words[word]
    return []  # no more pages


def keep_index(app: Sphinx, failure: Exception | None) -> None:
    """Store the environment once more: Sphinx does it before the pages enter the search index.

    Otherwise the next rendering knows the index entries of the pages alone that it writes.
    """
    if failure is None:
        with Path(app.doctreedir, ENV_PICKLE_FILENAME).open("wb") as file:
            pickle.dump(app.env, file, pickle.HIGHEST_PROTOCOL)


def finish(app: Sphinx, failure: Exception | None) -> None:
    """After the pages are written: publish the data, and cut what nobody loads."""
    if failure is not None or not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    out = Path(app.outdir)
    publish_data(app, out / "data")
    static = out / "_static"
    if app.config.html_theme == "sphinx_book_theme":
        store = Path(app.doctreedir) / "bookext"
        css = sheet.publish(out, store)
        cut_icons(static, css, store)
        # Extensions have folders of their own among them.
        owns = (Path(app.confdir, each, unscripted.SHEET) for each in app.config.html_static_path)
        own = "".join(path.read_text(encoding="utf-8") for path in owns if path.exists())
        (static / unscripted.SHEET).write_text(unscripted.written(css, own), encoding="utf-8")
    for name in _UNUSED:
        shutil.rmtree(static / name) if (static / name).is_dir() else (static / name).unlink(True)
    if app.config.html_baseurl:
        write_sitemap(app, app.config.html_baseurl)
    for leftover in (*static.glob("*.html"), *static.rglob("*.js.map"), *static.rglob("*.css.map")):
        leftover.unlink()


def publish_data(app: Sphinx, folder: Path) -> None:
    """Put the raw evidence, its schema, all claims and all builds beside the pages."""
    shelf = shelf_of(app.env)
    folder.mkdir(parents=True, exist_ok=True)
    current = {f"{stem}.json" for stem in shelf.stems()}
    for old in folder.glob("*.json"):
        if old.name not in current:
            old.unlink()
    for stem in shelf.stems():
        shown = shelf.path(stem)
        assert shown is not None  # the shelf lists those that it has
        shutil.copyfile(shown, folder / f"{stem}.json")
    _write(folder / "claims.json", {"claims": [_claim(shelf, c) for c in shelf.claims().values()]})
    _write(folder / "replications.json", replicated.published(shelf))
    _write(folder / "environment.json", {"runs": [_run(shelf, stem) for stem in shelf.stems()]})
    (folder / "builds.json").write_text(shelf.builds().model_dump_json() + "\n", encoding="utf-8")
    (folder / "evidence.schema.json").write_text(schema(), encoding="utf-8")


def _claim(shelf: Shelf, record: ClaimRecord) -> dict[str, Any]:
    """A claim with its machine and the state of this one's evidence; null where it needs none."""
    state = machine = None
    if wording.is_measured(record):
        origin = shelf.origin(record.notebook)
        state, machine = origin.state.state, machine_of(origin)
    # By way of the text: only that has infinite bounds as strings.
    return {**json.loads(record.model_dump_json()), "state": state, "machine": machine}


def _run(shelf: Shelf, stem: str) -> dict[str, Any]:
    """Where, when and under what noise one notebook's numbers were seen."""
    origin = shelf.origin(stem)
    evidence, state = origin.evidence, origin.state
    assert evidence is not None  # the shelf lists those that it has
    fields = {"notebook", "profile", "measured_at", "finished_at", "environment"}
    return {
        **evidence.model_dump(mode="json", include=fields),
        "machine": machine_of(origin),
        "state": state.model_dump(mode="json", include={"state", "reasons", "at", "current"}),
        "trials_disturbed": sum(
            bool(trial.findings) for one in evidence.comparisons for trial in one.trials
        ),
        "seeds": {one.name: one.seed for one in evidence.series},
        "worst_readings": _worst(evidence),
        "trials_measured_again": sum(len(one.rejected) for one in evidence.comparisons),
    }


def _worst(evidence: Evidence) -> dict[str, float]:
    """The highest reading of each noise probe over all accepted trials."""
    worst: dict[str, float] = {}
    for comparison in evidence.comparisons:
        for trial in comparison.trials:
            for name, value in trial.health.items():
                worst[name] = max(value, worst.get(name, value))
    worst.pop("window_seconds", None)
    return worst


def _write(path: Path, content: dict[str, Any]) -> None:
    document = {"schema_version": 1, **content}
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def cut_icons(static: Path, css: str, store: Path) -> None:
    """Keep the icons that the style sheet draws, in fonts that every browser of today reads."""
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
    fonts = Path("vendor/fontawesome/webfonts")
    for font in sorted((theme / fonts).glob("*.woff2")):
        (static / fonts / font.name).write_bytes(icons.shrink(font, icons.codepoints(css), store))
    for fallback in (static / fonts).glob("*.ttf"):
        fallback.unlink()


def write_sitemap(app: Sphinx, site: str) -> None:
    """List every page, also those that this build did not have to write again."""
    assert isinstance(app.builder, StandaloneHTMLBuilder)
    pages = (site + app.builder.get_target_uri(name) for name in sorted(app.env.found_docs))
    entries = "".join(f"<url><loc>{html.escape(page)}</loc></url>\n" for page in pages)
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n'
    )
    Path(app.outdir, "sitemap.xml").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("config-inited", addresses, priority=100)
    app.connect("config-inited", date, priority=100)
    app.connect("html-collect-pages", tidy_index)
    app.connect("build-finished", finish, priority=900)
    app.connect("build-finished", keep_index)
