"""Each replication that was sent in is whole, and is of this book."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewaylab.claims.catalogue import catalogue
from gatewaylab.publish.replications import files
from gatewaylab.records import replication
from gatewaylab.records.replication import Replication
from tests import ROOT, builders

FOLDER = ROOT / "book" / "records" / "replications"


def known(found: Replication) -> set[str]:
    """The claims of a replication that this edition declares; older ones may be gone."""
    return found.claims.keys() & catalogue().keys()


@pytest.mark.parametrize("path", files(FOLDER), ids=lambda path: path.stem)
def test_a_replication_is_as_it_was_written_and_speaks_of_this_book(path: Path) -> None:
    assert known(replication.read(path))


def test_nothing_else_lies_there() -> None:
    assert [one.name for one in FOLDER.iterdir() if one not in files(FOLDER)] == []


def test_a_replication_of_another_book_is_told_from_one_of_this() -> None:
    assert known(builders.replication(builders.claim_record("C05"))) == {"C05"}
    assert known(builders.replication(builders.claim_record("C9999"))) == set()
