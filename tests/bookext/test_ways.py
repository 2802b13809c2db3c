"""The drawings of Production: they say what the files of deploy/ say, and nothing else."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
from bookext import ways

from gatewaylab.errors import InputError
from tests import ROOT, builders
from tests.bookext import site
from tests.deploy.programs import of_unit

DEPLOY = ROOT / "deploy"
DATA = ways.read(ROOT / "book" / "production.toml")
SETTINGS = {one.setting: one for stop in DATA.stop for one in stop.limit}
DRAWN = ways.request_way(DATA.stop, DEPLOY)


def value(deploy: Path, setting: str) -> str:
    """What the drawing says of a setting."""
    words = site.plain(ways.valued(deploy, SETTINGS[setting]).replace("<wbr>", ""))
    name, _, said = words.partition(" ")
    assert name == setting
    return said.replace("\u00a0", " ")


def test_the_drawing_says_what_gunicorn_reads_in_its_file() -> None:
    read = runpy.run_path(str(DEPLOY / "gunicorn" / "gunicorn.conf.py"))
    for setting in ("timeout", "graceful_timeout"):
        assert value(DEPLOY, setting) == f"{read[setting]} s"


def test_the_drawing_says_what_the_units_say() -> None:
    units = [
        (DEPLOY / "systemd" / f"{name}.service").read_text() for name in ("gunicorn", "uvicorn")
    ]
    words = shlex.split(of_unit(units[1], "ExecStart"))
    grace = "--timeout-graceful-shutdown"
    assert value(DEPLOY, grace) == f"{words[words.index(grace) + 1]} s"
    assert {of_unit(unit, "TimeoutStopSec") + " s" for unit in units} == {
        value(DEPLOY, "TimeoutStopSec")
    }


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_drawing_follows_the_files(setting: str, tmp_path: Path) -> None:
    """Each value changes with its file; what no file sets is a default until one does."""
    deploy, one = tmp_path / "deploy", SETTINGS[setting]
    shutil.copytree(DEPLOY, deploy)
    files = sorted(deploy.glob(one.files))
    if one.default is not None:
        assert value(DEPLOY, setting) == f"{one.default} by default"
        file = files[0] if files else deploy / "settings.py"
        file.write_text(f"{file.read_text() if files else ''}\n{setting} 77;\n")
    for file in files:
        own = re.compile(rf"^([^#\n]*)\b{setting.lstrip('-')}([ =]+)\d+", re.MULTILINE)
        file.write_text(own.sub(rf"\g<1>{setting.lstrip('-')}\g<2>77", file.read_text()))
    assert value(deploy, setting).startswith("77")


def test_files_that_disagree_are_an_error(tmp_path: Path) -> None:
    one = ways.Setting(setting="timeout", files="*.conf")
    for name in ("a", "b"):
        (tmp_path / f"{name}.conf").write_text(f"timeout {ord(name)};\n")
    with pytest.raises(InputError, match="timeout to 97, 98"):
        ways.shipped(tmp_path, one)


def test_a_setting_in_a_comment_or_with_a_longer_name_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("# timeout 3;\nproxy_timeout 4;\ntimeout_of 5;\n")
    with pytest.raises(InputError, match="give its default"):
        ways.shipped(tmp_path, ways.Setting(setting="timeout", files="*.conf"))


def test_a_default_has_the_manual_that_says_so() -> None:
    for one in SETTINGS.values():
        assert (one.default is None) == (not one.manual), one.setting


def test_the_drawing_is_told_to_who_does_not_see_it() -> None:
    (told,) = re.findall(r'<figure class="way" role="group" aria-label="([^"]+)">', DRAWN)
    for stop in DATA.stop:
        assert stop.name in told
    assert DRAWN.count("way-limit") == len(SETTINGS)


def test_a_page_with_a_drawing_brings_its_style_and_follows_deploy(tmp_path: Path) -> None:
    site.write(
        tmp_path,
        {
            "index": "# Front\n\n```{toctree}\nother\n```\n\n```{request-way}\n```\n",
            "other": "# O\n",
        },
        "bookext_drawings = 'production.toml'\nhtml_static_path = ['static']\n",
    )
    for folder in ("book/claims", "static"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "book" / "claims" / "some.toml").write_text(builders.entry("C16"))
    shutil.copy(ROOT / "book" / "assets" / ways.SHEET, tmp_path / "static")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    shutil.copy(ROOT / "book" / "production.toml", tmp_path)
    app = site.clean(tmp_path)
    assert ways.SHEET in site.html(app, "index")
    assert ways.SHEET not in site.html(app, "other")
    file = tmp_path / "deploy" / "gunicorn" / "gunicorn.conf.py"
    file.write_text(file.read_text().replace("\ntimeout = 30", "\ntimeout = 77"))
    app, read = site.build(tmp_path)
    assert read == {"index"}
    assert "<strong>77\u00a0s</strong>" in site.html(app, "index")
