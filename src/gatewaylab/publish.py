"""From notebooks to a site: execute what is stale, accept its evidence, render.

Measuring and rendering are separate. The first writes evidence files and nothing else; the
second reads accepted evidence files and nothing else, so that a change of prose measures nothing
and an interrupted build keeps what it had.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from rich.console import Console

from gatewaylab import environment, evidence
from gatewaylab.claims import Entry, catalogue
from gatewaylab.errors import BuildError, ResultError
from gatewaylab.execution import execute, read_notebook
from gatewaylab.figures import Panel, waterfall
from gatewaylab.progress import Watch, clock
from gatewaylab.servers import NGINX, servers_table

PROFILES = ("quick", "full")

#: Parts of the instrument that cannot change a measured number; editing them measures nothing.
_NOT_MEASURING = {
    f"src/gatewaylab/{name}.py" for name in ("execution", "publish", "progress", "cli")
}


@dataclass(frozen=True)
class Book:
    """The project's folders, all derived from its root."""

    root: Path

    @property
    def build(self) -> Path:
        return self.root / "_build"

    @property
    def evidence(self) -> Path:
        return self.build / "evidence"

    @property
    def html(self) -> Path:
        return self.build / "html"

    @property
    def cache(self) -> Path:
        return self.build / ".jupyter_cache"

    def staging(self, notebook: str) -> Path:
        return self.build / "staging" / notebook

    def notebooks(self) -> list[Path]:
        """The executable chapters in the order of the table of contents."""
        toc = yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf-8"))
        found: list[Path] = []

        def walk(node: Any) -> None:
            if isinstance(node, dict):
                file = node.get("file")
                if isinstance(file, str) and file.startswith("notebooks/"):
                    found.append((self.root / file).with_suffix(".md"))
                for value in node.values():
                    walk(value)
            elif isinstance(node, list):
                for value in node:
                    walk(value)

        walk(toc)
        return found


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    profile: str = "quick"
    fresh: bool = False
    only: tuple[str, ...] = ()
    require_all: bool = False
    render_only: bool = False


@contextlib.contextmanager
def exclusive(book: Book) -> Iterator[None]:
    """Hold the project's build lock; two builds at once would measure each other."""
    book.build.mkdir(exist_ok=True)
    with (book.build / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise BuildError(
                f"another build of this project is running (pid {lock.read().strip() or '?'}); "
                f"wait for it or end it"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def build(book: Book, options: Options, console: Console) -> Path:
    """Measure what is stale, then render; returns the front page.

    Raises:
        BuildError: a system is missing under ``require_all``, a notebook failed, or the
            rendering warned. What was accepted before is untouched.
    """
    with exclusive(book):
        table = servers_table()
        _preflight(table, options, console)
        if not options.render_only:
            measure(book, options, table, console)
        return render(book, console)


def _preflight(table: Sequence[dict[str, Any]], options: Options, console: Console) -> None:
    missing = [row for row in table if not row["available"]]
    console.out(
        f"{len(table) - len(missing)} of {len(table)} servers are here; "
        f"machine: {environment.machine_kind()}",
    )
    for row in missing:
        console.out(f"  not measured on this machine: {row['name']} ({row['install_hint']})")
    absent = [row["name"] for row in missing]
    if not NGINX.available():
        console.out(f"  not measured on this machine: nginx ({NGINX.install_hint()})")
        absent.append("nginx")
    if absent and options.require_all:
        raise BuildError(f"--require-all: {', '.join(absent)} missing")


def staleness_key(book: Book, path: Path, profile: str, table: Sequence[dict[str, Any]]) -> str:
    """SHA-256 over all that can change what a notebook measures (decision 0005).

    Its code cells, the instrument, the demo apps, the locked versions and those of the
    distribution's servers, the kinds of its claims, the profile, and the kind of machine.
    """
    digest = hashlib.sha256()

    def add(name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)

    for cell in read_notebook(path).cells:
        if cell.cell_type == "code":
            add("cell", cell.source)
    for folder in ("src/gatewaylab", "demo_apps"):
        for file in sorted((book.root / folder).rglob("*.py")):
            name = file.relative_to(book.root).as_posix()
            if name not in _NOT_MEASURING:
                add(name, file.read_bytes())
    add("lock", (book.root / "requirements.txt").read_bytes())
    add("systems", json.dumps([[row["name"], row["version"]] for row in table]))
    add("nginx", NGINX.version() or "")
    add("python", f"{sys.version} {environment.gil_enabled()}")
    add("kinds", json.dumps({k: v.kind for k, v in catalogue_of(book, path.stem).items()}))
    add("profile", profile)
    add("machine", environment.machine_kind())
    return digest.hexdigest()


def catalogue_of(book: Book, notebook: str) -> dict[str, Entry]:
    """The declared claims of one notebook."""
    entries = catalogue(book.root / "book" / "claims.toml")
    return {k: v for k, v in entries.items() if v.notebook == notebook}


def accepted(book: Book, notebook: str) -> evidence.Evidence | None:
    """The accepted evidence of a notebook; None when there is none.

    Raises:
        ResultError: there is some, and it cannot be read.
    """
    path = book.evidence / f"{notebook}.json"
    if not path.exists():
        return None
    return evidence.read(path)


def measure(
    book: Book, options: Options, table: Sequence[dict[str, Any]], console: Console
) -> None:
    """Execute the stale notebooks one after another and accept what each one saw."""
    notebooks = book.notebooks()
    known = {path.stem for path in notebooks}
    for name in options.only:
        if name not in known:
            raise BuildError(f"no notebook {name!r}; there are: {', '.join(sorted(known))}")
    stale = []
    for path in notebooks:
        key = staleness_key(book, path, options.profile, table)
        old = _accepted_or_none(book, path.stem, console)
        chosen = not options.only or path.stem in options.only
        if chosen and (options.fresh or old is None or old.key != key or old.refused):
            stale.append((path, key, old))
        elif old is not None and old.key == key:
            _reword(book, old)
        elif old is not None:
            console.out(f"{path.stem}: shown as it was measured before the last change")
    if not stale:
        console.out("nothing to measure: every notebook's evidence is current")
    expected = [_expected_seconds(path, options.profile, old) for path, _, old in stale]
    for i, (path, key, old) in enumerate(stale):
        later = sum(expected[i + 1 :])
        console.out(
            f"[{i + 1}/{len(stale)}] measuring {path.stem} · "
            f"about {clock(expected[i] + later)} left",
        )
        file = book.staging(path.stem) / "progress"
        with Watch(console, path.stem, file, expected=expected[i], later=later):
            fresh = observe(book, path, key, options.profile)
        if fresh.refused and old is not None and old.key == key and not old.refused:
            console.out(f"    too noisy for {', '.join(fresh.refused)}: the old evidence is kept")
            continue
        evidence.accept(fresh, book.evidence)
        shutil.rmtree(book.staging(path.stem), ignore_errors=True)
        for record in fresh.claims:
            console.out(f"    {record.id} {record.verdict}")


def _accepted_or_none(book: Book, notebook: str, console: Console) -> evidence.Evidence | None:
    try:
        return accepted(book, notebook)
    except ResultError as error:
        console.out(
            f"the stored evidence of {notebook} is unusable and will be measured again: {error}",
        )
        return None


def _expected_seconds(path: Path, profile: str, old: evidence.Evidence | None) -> float:
    """How long a notebook will take: as long as last time, else what its header says."""
    if old is not None and old.profile == profile:
        begun, ended = map(datetime.fromisoformat, (old.measured_at, old.finished_at))
        return (ended - begun).total_seconds()
    declared = read_notebook(path).metadata.get("expected_seconds", {})
    return float(declared.get(profile, 120))


def observe(book: Book, path: Path, key: str, profile: str) -> evidence.Evidence:
    """What a fresh run of one notebook saw.

    Raises:
        BuildError: it failed, or states other claims than are declared for it. The staging folder
            keeps the parts.
    """
    run = execute(path, root=book.root, staging=book.staging(path.stem), profile=profile)
    stated = {claim.id for claim in run.parts["claims"]}
    declared = {
        identifier
        for identifier, entry in catalogue_of(book, path.stem).items()
        if entry.kind not in {"cited", "opinion"}  # those need no measurement
    }
    if stated != declared:
        raise BuildError(
            f"{path.stem} states {sorted(stated)} and book/claims.toml declares "
            f"{sorted(declared)} for it; make them agree"
        )
    return evidence.Evidence(
        notebook=path.stem,
        key=key,
        profile=profile,
        measured_at=run.begun.isoformat(timespec="seconds"),
        finished_at=run.ended.isoformat(timespec="seconds"),
        environment=environment.record(book.root),
        executed=json.loads(nbformat.writes(run.notebook)),
        **run.parts,
    )


def _reword(book: Book, old: evidence.Evidence) -> None:
    """Bring the declared texts of accepted claims up to date; no number changes."""
    entries = catalogue_of(book, old.notebook)
    claims = []
    for record in old.claims:
        entry = entries.get(record.id)
        if entry is not None:
            texts = entry.model_dump(include={"title", "statement", "common_verdict", "nuance"})
            record = record.model_copy(update={**texts, "sources": entry.sources})
        claims.append(record)
    new = old.model_copy(update={"claims": tuple(claims)})
    if new.claims != old.claims:
        evidence.accept(new, book.evidence)


def render(book: Book, console: Console) -> Path:
    """Make the site from accepted evidence; a warning is an error.

    Raises:
        BuildError: jupyter-book warned or failed. The half-made site is removed, because a
            second run would not repeat the warnings of pages that did not change.
    """
    began = time.monotonic()
    _fill_cache(book)
    log = book.build / "render.log"
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(book.root)]
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [*command, "-W", "-n", "--keep-going", "--path-output", str(book.root)],
            cwd=book.root,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    page = book.html / "index.html"
    if done.returncode != 0 or not page.exists():
        for folder in (book.html, book.build / ".doctrees"):
            shutil.rmtree(folder, ignore_errors=True)
        lines = log.read_text(encoding="utf-8").splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines
        raise BuildError(f"jupyter-book failed (whole log: {log}):\n" + "\n".join(told[-40:]))
    _downloads(book)
    console.out(f"rendered in {time.monotonic() - began:.1f} s")
    return page


def _fill_cache(book: Book) -> None:
    """Put each notebook's accepted outputs where the renderer looks for them.

    A notebook without usable evidence is given as "executed, no outputs": rendering must never
    start a server.
    """
    shutil.rmtree(book.cache, ignore_errors=True)
    cache = get_cache(str(book.cache))
    for path in book.notebooks():
        notebook = read_notebook(path)
        # What a kernel would have told; without it the code is not highlighted.
        notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        stored = accepted(book, path.stem)
        if stored is not None:
            executed = nbformat.reads(json.dumps(stored.executed), as_version=4)
            if _code(executed) == _code(notebook):
                _take_outputs(notebook, executed)
        cache.cache_notebook_bundle(
            CacheBundleIn(notebook, str(path)), check_validity=False, overwrite=True
        )


def _code(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _take_outputs(notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> None:
    sources = (cell for cell in executed.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            source = next(sources)
            cell.outputs, cell.execution_count = source.outputs, source.execution_count


def readme_figure(book: Book, path: Path) -> None:
    """Write the README's figure from accepted evidence: one trial of two set-ups, as SVG.

    Raises:
        BuildError: there is no accepted evidence of the notebook that it comes from.
    """
    stored = accepted(book, "slow-requests-and-slots")
    if stored is None:
        raise BuildError("measure first: scripts/build")
    comparison = next(one for one in stored.comparisons if one.name == "blocking")
    shown = {"one sync worker": "#EE6677", "one event loop": "#4477AA"}
    panels = [Panel(name, comparison.of(name)[0], color) for name, color in shown.items()]
    figure = waterfall(panels)
    figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None})


def _downloads(book: Book) -> None:
    """Beside each notebook's page, the executed notebook itself."""
    for path in book.notebooks():
        stored = accepted(book, path.stem)
        if stored is not None:
            target = book.html / "notebooks" / f"{path.stem}.ipynb"
            target.write_text(json.dumps(stored.executed, indent=1) + "\n", encoding="utf-8")
