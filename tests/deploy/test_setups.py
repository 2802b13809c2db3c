"""Every set-up of ``deploy/``, as shipped, and every visit."""

from __future__ import annotations

import os

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from gatewaylab.publish.deploy_record import DeployRecord
from gatewaylab.records.storage import load
from tests.deploy import record
from tests.deploy.bed import Up
from tests.deploy.setups import SET_UPS
from tests.deploy.visits import VISITS


@pytest.mark.live
@pytest.mark.parametrize("visit", VISITS)
@pytest.mark.parametrize("up", SET_UPS, indirect=True, ids=lambda one: one.name)
def test_a_set_up_passes_the_visits_that_it_can_and_no_other(up: Up, visit: str) -> None:
    if visit in up.one.cannot:
        with pytest.raises((AssertionError, httpx.HTTPError, InvalidStatus)):
            VISITS[visit](up)
    else:
        VISITS[visit](up)
    record.SEEN[up.one.name, visit] = visit not in up.one.cannot


def test_the_record_in_the_book_is_of_these_set_ups_and_visits() -> None:
    if os.environ.get(record.VARIABLE):
        record.write()  # of what this session has seen
    kept = load(DeployRecord, record.RECORD)
    expected = {(one.name, name): name not in one.cannot for one in SET_UPS for name in VISITS}
    assert kept.set_ups == record.set_ups(expected), f"set {record.VARIABLE}=1 and run tests/deploy"
    assert kept.visits == record.in_words()


@pytest.mark.live
@pytest.mark.parametrize("up", [one for one in SET_UPS if one.name == "react"], indirect=True)
def test_the_react_site_serves_the_build_and_passes_on_the_api_alone(up: Up) -> None:
    index = (up.site / "public" / "index.html").read_bytes()
    with up.client() as client:
        for path in ("/", "/orders/17", "/page"):
            page = client.get(path)
            assert (page.status_code, page.content) == (200, index)
            assert page.headers["cache-control"] == "no-cache"
        script = client.get("/assets/app-4f1d2c.js")
        assert "javascript" in script.headers["content-type"]
        assert "immutable" in script.headers["cache-control"]
        old = client.get("/assets/old.js")
    assert (old.status_code, old.content == index) == (404, False)
