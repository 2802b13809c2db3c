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
LIMITS = [
    *(one for stop in DATA.stop for one in stop.limit),
    *(one for lane in DATA.upload for one in lane.limit),
]
SETTINGS = {one.setting: one for stop in DATA.stop for one in stop.limit}
DRAWN = ways.request_way(DATA.stop, DEPLOY)


def value(deploy: Path, one: ways.Setting | str) -> str:
    """What the drawings say of a setting."""
    one = SETTINGS[one] if isinstance(one, str) else one
    words = site.plain(ways.valued(deploy, one).replace("<wbr>", ""))
    name, _, said = words.partition(" ")
    assert name == one.setting
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


@pytest.mark.parametrize("one", LIMITS, ids=lambda one: f"{one.setting}, {one.files}")
def test_the_drawing_follows_the_files(one: ways.Limit, tmp_path: Path) -> None:
    """Each value changes with its file; what no file sets is a default until one does."""
    deploy = tmp_path / "deploy"
    shutil.copytree(DEPLOY, deploy)
    files = sorted(deploy.glob(one.files))
    if one.default is not None:
        assert value(DEPLOY, one) == f"{one.default} by default"
        file = files[0] if files else deploy / "settings.py"
        file.write_text(f"{file.read_text() if files else ''}\n{one.setting} 77;\n")
    name = one.setting.lstrip("-")
    for file in files:
        own = re.compile(rf"^([^#\n]*)\b{name}([ =]+)\d+", re.MULTILINE)
        file.write_text(own.sub(rf"\g<1>{name}\g<2>77", file.read_text()))
    assert value(deploy, one).startswith("77")


def test_uploads_are_drawn_with_the_limit_of_their_path() -> None:
    (limit,) = (one for one in LIMITS if one.setting == "client_max_body_size" and "*" in one.files)
    for name in ("both", "container", "gunicorn", "uvicorn", "react"):
        text = (DEPLOY / "nginx" / f"{name}.conf").read_text()
        place = text.partition("upload/ {")[2].partition("}")[0]
        assert f"client_max_body_size {value(DEPLOY, limit)};" in place


def test_marks_stand_inside_their_lane_and_one_after_the_other() -> None:
    for lane in (*DATA.deployment, *DATA.upload):
        for row in lane.rows:
            assert all(0 <= begin <= end <= 100 for _, begin, end, *_ in row), lane.name
            assert [mark[1] for mark in row] == sorted(mark[1] for mark in row), lane.name


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
    for one in LIMITS:
        assert (one.default is None) == (not one.manual), one.setting


def test_the_drawing_is_told_to_who_does_not_see_it() -> None:
    (told,) = re.findall(r'<figure class="way drawing" role="group" aria-label="([^"]+)">', DRAWN)
    for stop in DATA.stop:
        assert stop.name in told
    assert DRAWN.count("way-limit") == len(SETTINGS)


def test_a_page_with_drawings_follows_deploy(tmp_path: Path) -> None:
    drawn = ("request-way", "deployment-lanes", "upload-lanes")
    pages = {
        "index": "# Front\n\n```{toctree}\nother\nledger\nbook/method\n```\n",
        "other": "# O\n",
    }
    pages["book/method"] = "# Method\n"
    pages["ledger"] = "# Ledger\n\n```{claims-ledger}\n```\n\n```{claim-entries}\n```\n"
    pages["index"] += "".join(f"\n```{{{name}}}\n```\n" for name in drawn)
    conf = "bookext_drawings = 'production.toml'\n"
    (tmp_path / "book" / "claims").mkdir(parents=True)
    site.write(tmp_path, pages, conf)
    claims = {name for lane in (*DATA.deployment, *DATA.upload) for name in lane.claims}
    (tmp_path / "book" / "claims" / "some.toml").write_text(
        "".join(builders.entry(name) for name in sorted(claims))
    )
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    shutil.copy(ROOT / "book" / "production.toml", tmp_path)
    app = site.clean(tmp_path)
    page = site.html(app, "index")
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    tracks = [figure.count('class="track"') for figure in figures]
    assert tracks == [0, len(DATA.deployment), len(DATA.upload)]  # no lane has left its figure
    for told in re.findall(
        r'<figure class="tracks drawing" role="group" aria-label="([^"]+)">', page
    ):
        assert any(lane.says.replace("`", "") in told for lane in (*DATA.deployment, *DATA.upload))
    for name in claims:
        assert f"ledger.html#{name.lower()}" in page
    file = tmp_path / "deploy" / "gunicorn" / "gunicorn.conf.py"
    file.write_text(file.read_text().replace("\ntimeout = 30", "\ntimeout = 77"))
    app, read = site.build(tmp_path)
    assert read == {"index"}
    assert "<strong>77\u00a0s</strong>" in site.html(app, "index")
