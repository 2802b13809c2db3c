"""The shelf: the evidence that pages show, its state, and the claims declared in ``book/claims/``.

A reference that names nothing (an unknown claim, a key that a notebook did not publish) raises
:class:`UnknownReferenceError`. A reference to something that exists but was measured neither
here nor by the reference machine is no error: it comes back as "no number".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from gatewaylab.claims.catalogue import catalogue
from gatewaylab.errors import ResultError
from gatewaylab.publish import builds, replications, states
from gatewaylab.publish.book import same_code
from gatewaylab.publish.builds import BuildsRecord
from gatewaylab.publish.reference import chosen
from gatewaylab.publish.states import StateRecord
from gatewaylab.records.evidence import ClaimRecord, Evidence, SystemRecord, ValueRecord, read
from gatewaylab.records.storage import load


class UnknownReferenceError(Exception):
    """A page refers to a claim, field or value that does not exist; the text says what does."""


#: Whose numbers a chapter shows: this machine's, accepted; the reference's; or, in a state that is
#: told beside them, older ones of this machine; or none.
Kind = Literal["own", "reference", "stale", "unstable", "rejected", "missing"]


@dataclass(frozen=True)
class Origin:
    """Where the numbers that pages show of a notebook come from.

    Attributes:
        notebook: its name. evidence: what is shown; None without any number.
        reference: it is the reference's. state: what this machine's evidence is worth.
        figures: its code cells are the notebook's, so that its outputs stand beside them.
        lacking: the systems that kept this machine from measuring it.
    """

    notebook: str
    evidence: Evidence | None
    reference: bool
    state: StateRecord
    figures: bool
    lacking: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        if self.evidence is None:
            return "missing"
        if self.reference:
            return "reference"
        return "own" if self.state.state == "accepted" else self.state.state

    @property
    def marked(self) -> bool:
        """The numbers are this machine's, and not plainly accepted."""
        return self.kind in {"stale", "unstable", "rejected"}


@dataclass(frozen=True)
class Shelf:
    """Where evidence lies.

    Attributes:
        folder: of this machine's evidence files, one a notebook. reference: of the reference's.
        declared: folder of the declarations of all claims.
        notebooks: folder of the executable chapters.
        states: folder of the files that say what the evidence is worth.
        replications: folder of what others sent in, which need not exist.
        past: folder of the files of published builds, which need not exist.
    """

    folder: Path
    reference: Path
    declared: Path
    notebooks: Path
    states: Path
    replications: Path
    past: Path

    def compared(self) -> list[Path]:
        """What this machine's evidence is set beside: the reference, others', earlier builds."""
        folders = (self.reference, self.replications, self.past)
        return [path for folder in folders for path in sorted(folder.glob("*.json"))]

    def paths(self, notebook: str) -> tuple[Path, Path]:
        """Where evidence of ``notebook`` may lie: this machine's, and the reference's."""
        return self.folder / f"{notebook}.json", self.reference / f"{notebook}.json"

    def path(self, notebook: str) -> Path | None:
        """The evidence file that pages show of ``notebook``; None when there is none."""
        return chosen(notebook, self.folder, self.reference)

    def state_path(self, notebook: str) -> Path:
        """Where the state of ``notebook`` lies, whether or not it exists."""
        return self.states / f"{notebook}.json"

    def stems(self) -> list[str]:
        """Names of the notebooks that have evidence."""
        return sorted({path.stem for path in self._files()})

    def _files(self) -> list[Path]:
        return [*self.folder.glob("*.json"), *self.reference.glob("*.json")]

    def declaration_files(self) -> list[Path]:
        """The files in which claims are declared, one a notebook."""
        return sorted(self.declared.glob("*.toml"))

    def names(self) -> tuple[str, ...]:
        """What evidence and which declarations there are: pages about all depend on it."""
        files = (*self.folder.glob("*.json"), *self.compared(), *self.declaration_files())
        return tuple(sorted(map(str, files)))

    def chapters(self) -> list[str]:
        """Names of all notebooks, with or without evidence."""
        return sorted({path.stem for path in self.notebooks.glob("*.md")} | set(self.stems()))

    def state(self, notebook: str) -> StateRecord:
        """What this machine's evidence is worth; from the evidence alone if nobody says."""
        own, _ = self.paths(notebook)
        stored = read(own) if own.exists() else None
        try:
            said = load(StateRecord, self.state_path(notebook))
        except ResultError:  # there is none, or the build writes it anew
            said = None
        # Evidence that was brought or taken away without a build is not what the file speaks of.
        shown = {"accepted", "stale"} if stored is None else {"missing"}
        if said is None or said.state in shown:
            return states.derive(notebook, stored)
        return said

    def origin(self, notebook: str) -> Origin:
        """Where the numbers come from that pages show of a notebook."""
        own, reference = self.paths(notebook)
        path, state = self.path(notebook), self.state(notebook)
        if path != reference:
            stored = None if path is None else read(path)
            return Origin(notebook, stored, False, state, state.figures)
        stored, text = read(path), self.notebooks / f"{notebook}.md"
        figures = not text.exists() or same_code(text, stored)
        claims = read(own).claims if own.exists() else ()
        lacking = dict.fromkeys(system for record in claims for system in record.missing)
        return Origin(notebook, stored, True, state, figures, tuple(lacking))

    def every(self) -> list[Evidence]:
        """All evidence that is shown, by notebook name."""
        return [found for found in map(self.stored, self.stems()) if found is not None]

    def builds(self) -> BuildsRecord:
        """The published builds, and what is accepted here as one of them."""
        here = replications.of_folder(self.folder)
        return builds.gather(self.past, here if here.chapters else None)

    def evidence(self, notebook: str) -> Evidence | None:
        """The evidence that is shown of one notebook; None if there is none.

        Raises:
            UnknownReferenceError: there is no such notebook either.
        """
        stored = self.stored(notebook)
        if stored is None and not (self.notebooks / f"{notebook}.md").exists():
            known = ", ".join(path.stem for path in sorted(self.notebooks.glob("*.md"))) or "none"
            raise UnknownReferenceError(f"no notebook {notebook!r}; there are: {known}")
        return stored

    def stored(self, notebook: str) -> Evidence | None:
        """The evidence that is shown under that name, if there is any."""
        path = self.path(notebook)
        return None if path is None else read(path)

    def declarations(self) -> dict[str, ClaimRecord]:
        """The declared claims, each as a claim that was not measured."""
        unmeasured: dict[str, Any] = {"verdict": "not measured", "rule": ""}
        unmeasured |= dict.fromkeys(("effect", "threshold", "theory", "sabotage"))
        return {
            identifier: ClaimRecord(id=identifier, **entry.model_dump(), **unmeasured)
            for identifier, entry in catalogue(self.declared).items()
        }

    def claims(self) -> dict[str, ClaimRecord]:
        """Every claim by id: as measured where evidence has it, else as declared."""
        found = self.declarations()
        for evidence in self.every():
            found.update((record.id, record) for record in evidence.claims)
        return dict(sorted(found.items()))

    def claim(self, identifier: str) -> ClaimRecord:
        """One claim.

        Raises:
            UnknownReferenceError: neither evidence nor a declaration has it.
        """
        declared = self.declarations().get(identifier)
        stored = None if declared is None else self.stored(declared.notebook)
        for record in () if stored is None else stored.claims:
            if record.id == identifier:
                return record
        claims = self.claims()
        if identifier not in claims:
            raise UnknownReferenceError(
                f"no claim {identifier!r}; there are: {', '.join(claims) or 'none'}"
            )
        return claims[identifier]

    def value(self, notebook: str, key: str) -> ValueRecord | None:
        """A published number; None if its notebook was not measured, or not with its present code.

        Raises:
            UnknownReferenceError: no such notebook, or it publishes no such key.
        """
        evidence = self.evidence(notebook)
        if evidence is None:
            return None
        if key not in evidence.values:
            if not self.origin(notebook).figures:
                return None  # the number is newer than the measurement
            known = ", ".join(sorted(evidence.values)) or "none"
            raise UnknownReferenceError(f"{notebook} publishes no value {key!r}; it has: {known}")
        return evidence.values[key]

    def systems(self) -> list[tuple[SystemRecord, str]]:
        """Each server once, with its notebook; a row that was measured wins."""
        rows: dict[str, tuple[SystemRecord, str]] = {}
        for evidence in self.every():
            for row in evidence.systems:
                if row.name not in rows or row.measured:
                    rows[row.name] = row, evidence.notebook
        return sorted(
            rows.values(), key=lambda found: (found[0].interface != "wsgi", found[0].title.lower())
        )


def shelf_of(env: BuildEnvironment | Sphinx) -> Shelf:
    """The shelf that the configuration names."""
    root = Path(env.srcdir)
    return Shelf(
        folder=root / env.config.bookext_evidence,
        reference=root / env.config.bookext_reference,
        declared=root / env.config.bookext_claims,
        notebooks=root / "notebooks",
        states=root / env.config.bookext_states,
        replications=root / env.config.bookext_replications,
        past=root / env.config.bookext_builds,
    )
