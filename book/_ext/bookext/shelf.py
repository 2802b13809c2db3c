"""The shelf: accepted evidence, its state, and the claims declared in ``book/claims/``.

A reference that names nothing (an unknown claim, a key that a notebook did not publish) raises
:class:`UnknownReferenceError`. A reference to something that exists but was not measured on this
machine is no error: it comes back as "no number".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sphinx.environment import BuildEnvironment

from gatewaylab.claims.catalogue import catalogue
from gatewaylab.errors import ResultError
from gatewaylab.publish import builds, replications, states
from gatewaylab.publish.builds import BuildsRecord
from gatewaylab.publish.states import StateRecord
from gatewaylab.records.evidence import ClaimRecord, Evidence, SystemRecord, ValueRecord, read
from gatewaylab.records.storage import load


class UnknownReferenceError(Exception):
    """A page refers to a claim, field or value that does not exist; the text says what does."""


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

    def path(self, notebook: str) -> Path:
        """Where the evidence of ``notebook`` lies, whether or not it exists."""
        return self.folder / f"{notebook}.json"

    def state_path(self, notebook: str) -> Path:
        """Where the state of ``notebook`` lies, whether or not it exists."""
        return self.states / f"{notebook}.json"

    def stems(self) -> list[str]:
        """Names of the notebooks that have evidence."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def declaration_files(self) -> list[Path]:
        """The files in which claims are declared, one a notebook."""
        return sorted(self.declared.glob("*.toml"))

    def names(self) -> tuple[str, ...]:
        """What evidence and which declarations there are: pages about all depend on it."""
        files = (*self.declaration_files(), *self.compared())
        return (*self.stems(), *(path.name for path in files))

    def chapters(self) -> list[str]:
        """Names of all notebooks, with or without evidence."""
        return sorted({path.stem for path in self.notebooks.glob("*.md")} | set(self.stems()))

    def state(self, notebook: str) -> StateRecord:
        """What the evidence of a notebook is worth; from the evidence alone if nobody says."""
        stored = self.stored(notebook)
        try:
            said = load(StateRecord, self.state_path(notebook))
        except ResultError:  # there is none, or the build writes it anew
            said = None
        # Evidence that was brought or taken away without a build is not what the file speaks of.
        shown = {"accepted", "stale"} if stored is None else {"missing"}
        if said is None or said.state in shown:
            return states.derive(notebook, stored)
        return said

    def every(self) -> list[Evidence]:
        """All accepted evidence, by notebook name."""
        return [read(self.path(stem)) for stem in self.stems()]

    def builds(self) -> BuildsRecord:
        """The published builds, and what is accepted here as one of them."""
        here = replications.of_folder(self.folder)
        return builds.gather(self.past, here if here.chapters else None)

    def evidence(self, notebook: str) -> Evidence | None:
        """The evidence of one notebook; None if it was not measured here.

        Raises:
            UnknownReferenceError: there is no such notebook either.
        """
        stored = self.stored(notebook)
        if stored is None and not (self.notebooks / f"{notebook}.md").exists():
            known = ", ".join(path.stem for path in sorted(self.notebooks.glob("*.md"))) or "none"
            raise UnknownReferenceError(f"no notebook {notebook!r}; there are: {known}")
        return stored

    def stored(self, notebook: str) -> Evidence | None:
        """The evidence of that name, if there is any."""
        path = self.path(notebook)
        return read(path) if path.exists() else None

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
        if declared is not None and self.path(declared.notebook).exists():
            for record in read(self.path(declared.notebook)).claims:
                if record.id == identifier:
                    return record
        claims = self.claims()
        if identifier not in claims:
            raise UnknownReferenceError(
                f"no claim {identifier!r}; there are: {', '.join(claims) or 'none'}"
            )
        return claims[identifier]

    def value(self, notebook: str, key: str) -> ValueRecord | None:
        """A published number; None if its notebook was not measured here.

        Raises:
            UnknownReferenceError: no such notebook, or it publishes no such key.
        """
        evidence = self.evidence(notebook)
        if evidence is None:
            return None
        if key not in evidence.values:
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


def shelf_of(env: BuildEnvironment) -> Shelf:
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
