"""A visit notices when a line is missing, but for the lines that are listed with a reason."""

from __future__ import annotations

import random

import pytest

from tests.deploy import bed
from tests.deploy.conftest import needed
from tests.deploy.mutations import listed, mutations, noticed, ready
from tests.deploy.setups import SET_UPS

SAMPLE = 4  # lines of each set-up; another choice whenever the files change


def test_every_listed_line_is_still_in_its_file_and_has_a_reason() -> None:
    said = {one.name: {line.name for line in mutations(one)} for one in SET_UPS}
    for name, lines in listed().items():
        assert set(lines) <= said[name]
        assert all(len(why.split()) > 3 for why in lines.values())


@pytest.mark.live
@pytest.mark.parametrize("name", listed())
def test_a_missing_line_is_noticed_unless_it_is_listed(
    name: str, session_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = (each for each in SET_UPS if each.name == name)
    needed(one)
    lines = list(mutations(one))
    chosen = random.Random(repr(lines)).sample(lines, SAMPLE)
    with ready(one) as up:
        monkeypatch.setattr(bed, "PATIENCE", 10.0)  # what is broken never comes
        for mutation in chosen:
            by = noticed(up, mutation)
            assert (by is None) == (mutation.name in listed()[name]), (by, mutation)
