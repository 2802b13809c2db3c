"""A visit notices when a line is missing, but for the lines that are listed with a reason."""

from __future__ import annotations

import random
import re

import pytest

from tests.deploy import bed
from tests.deploy.conftest import needed
from tests.deploy.mutations import listed, mutations, noticed, ready
from tests.deploy.setups import SET_UPS, SetUp

SAMPLE = 1  # line of each set-up; another choice whenever the files change
OPEN_FILES = re.compile(r"NOFILE|worker_\w+")


def test_every_listed_line_is_still_in_its_file_and_has_a_reason() -> None:
    said = {one.name: {line.name for line in mutations(one)} for one in SET_UPS}
    for name, lines in listed().items():
        assert set(lines) <= said[name]
        assert all(len(why.split()) > 3 for why in lines.values())


@pytest.mark.live
@pytest.mark.parametrize("one", SET_UPS, ids=lambda one: one.name)
def test_a_missing_line_is_noticed_unless_it_is_listed(
    one: SetUp, session_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines by chance, and once those without which listeners would be too many."""
    needed(one)
    lines = list(mutations(one))
    chosen = random.Random(repr(lines)).sample(lines, SAMPLE)
    if one.name == "uvicorn":
        chosen += [line for line in lines if OPEN_FILES.search(line.name)]
    with ready(one) as up:
        monkeypatch.setattr(bed, "PATIENCE", 10.0)  # what is broken never comes
        for mutation in chosen:
            by = noticed(up, mutation)
            assert (by is None) == (mutation.name in listed()[one.name]), (by, mutation)
