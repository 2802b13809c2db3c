"""What a notebook may import from the package itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import gatewaylab
from tests import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.md"))


@pytest.mark.parametrize("name", gatewaylab.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(gatewaylab, name) is not None


def test_another_name_is_refused_with_a_list_of_those_that_are_there() -> None:
    with pytest.raises(AttributeError, match="no public name 'benchmark'; it has: claim, "):
        _ = gatewaylab.benchmark


def test_every_public_name_is_used_by_a_notebook() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in NOTEBOOKS)
    lines = re.findall(r"^from gatewaylab import (\([^)]*\)|.*)$", text, re.M)
    used = set(re.findall(r"\w+", " ".join(lines)))
    assert used == {*gatewaylab.__all__} - {"__version__"}


def test_a_load_generator_does_not_wait_for_the_figures() -> None:
    code = "import sys; import gatewaylab.load.generator; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "pydantic", "httpx"} & {*done.stdout.split()}
