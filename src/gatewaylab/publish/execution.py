"""Run one notebook in a kernel of its own and collect what it recorded.

Nothing is judged or kept here: the build accepts what comes back, a rehearsal only looks at it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from gatewaylab.errors import BuildError
from gatewaylab.records import evidence
from gatewaylab.records.staging import (
    PROFILE_VARIABLE,
    SABOTAGE_VARIABLE,
    STAGING_VARIABLE,
    Staging,
)

#: No cell takes longer: the longest comparison of the full profile needs about a third of it.
CELL_TIMEOUT = 1800


@dataclass(frozen=True)
class Execution:
    """What came of one run.

    Attributes:
        parts: claims, comparisons, readings, systems and values, as :class:`evidence.Evidence`
            names them.
        notebook: with its outputs.
        begun, ended: wall-clock times.
        errors: the first line of each cell's error; only a tolerant run has any.
    """

    parts: dict[str, Any]
    notebook: nbformat.NotebookNode
    begun: datetime
    ended: datetime
    errors: tuple[str, ...] = ()


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """A text notebook as the renderer will read it, so that both see the same code cells."""
    return nbformat.from_dict(_parsed(path.read_text(encoding="utf-8")))


@cache
def _parsed(text: str) -> nbformat.NotebookNode:
    """Parsing takes a while, and a build asks for each notebook several times."""
    return read_myst_markdown_notebook(text)


def expected_seconds(path: Path, profile: str, last: evidence.Evidence | None) -> float:
    """How long a notebook will take: as long as last time, else what its header says."""
    if last is not None and last.profile == profile:
        begun, ended = map(datetime.fromisoformat, (last.measured_at, last.finished_at))
        return (ended - begun).total_seconds()
    declared = read_notebook(path).metadata.get("expected_seconds", {})
    return float(declared.get(profile, 120))


def execute(
    path: Path,
    *,
    root: Path,
    staging: Path,
    profile: str,
    sabotage: bool = False,
    tolerant: bool = False,
) -> Execution:
    """Run the notebook at ``path`` from its first cell to its last.

    Args:
        root: the kernel's working folder.
        staging: where the notebook writes its parts; emptied first, kept afterwards.
        profile: how many blocks a comparison has.
        sabotage: every claim meets its sabotage in the place of what it is about.
        tolerant: go on after a cell that raised.

    Raises:
        BuildError: a cell raised, hung or lost its kernel, or wrote to stderr.
    """
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    notebook = read_notebook(path)
    begun = datetime.now(UTC)
    client = nbclient.NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        allow_errors=tolerant,
        record_timing=False,  # timings in the metadata would change the cache's hash
        resources={"metadata": {"path": str(root)}},
        on_cell_execute=_position(Staging(staging), notebook),
        # Warnings of the kernel's own machinery, not of the notebook, would clutter every build.
        extra_arguments=["--log-level=CRITICAL"],
    )
    surroundings = {
        **os.environ,
        STAGING_VARIABLE: str(staging),
        PROFILE_VARIABLE: profile,
        SABOTAGE_VARIABLE: "1" if sabotage else "",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    try:
        _run(client, surroundings)
    except CellExecutionError as error:
        raise BuildError(f"{path.stem} failed:\n{error}") from error
    except CellTimeoutError as error:
        raise BuildError(
            f"{path.stem}: a cell ran longer than {CELL_TIMEOUT} s; make it shorter"
        ) from error
    except (DeadKernelError, RuntimeError) as error:
        raise BuildError(
            f"{path.stem}: its kernel died or never came up ({error}); run the build again to go on"
        ) from error
    if not tolerant:
        _no_stderr(path.stem, notebook)
    return Execution(
        parts=Staging(staging).parts(),
        notebook=notebook,
        begun=begun,
        ended=datetime.now(UTC),
        errors=tuple(filter(None, map(error_of, notebook.cells))),
    )


def _position(
    stage: Staging, notebook: nbformat.NotebookNode
) -> Callable[[nbformat.NotebookNode, int], None]:
    """What nbclient calls before each cell: it says which of the code cells begins."""
    places = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]

    def tell(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell_index in places:
            begun = places.index(cell_index) + 1
            stage.position(evidence.Position(cell=begun, cells=len(places)))

    return tell


def _run(client: nbclient.NotebookClient, surroundings: dict[str, str]) -> None:
    """Execute in a thread, so that an interrupt reaches this one and ends the kernel at once.

    In the main thread nbclient would take the signal itself and fail in one of several ways. The
    servers that the kernel has started end with it; their guards see to that.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        execution = pool.submit(
            lambda: asyncio.run(client.async_execute(env=surroundings))  # closes its loop
        )
        try:
            execution.result()
        except KeyboardInterrupt:
            if client.km is not None and client.km.provisioner is not None:
                os.kill(client.km.provisioner.pid, signal.SIGKILL)
            raise


def _no_stderr(name: str, notebook: nbformat.NotebookNode) -> None:
    for output in (one for cell in notebook.cells for one in cell.get("outputs", ())):
        if output.get("output_type") == "stream" and output.get("name") == "stderr":
            raise BuildError(
                f"{name} wrote to stderr, which a notebook must not do:\n{output['text'][:2000]}"
            )


def error_of(cell: nbformat.NotebookNode) -> str | None:
    """The first line of the error that a cell ended with; None if it did not."""
    for output in cell.get("outputs", ()):
        if output.get("output_type") == "error":
            return f"{output['ename']}: {output['evalue']}".partition("\n")[0]
    return None
