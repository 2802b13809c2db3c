"""FastAPI, counted: the same routes from a framework that was born async, and one of its own.

Its ``/sync/hold`` goes through the pool of threads once. That of the demo application goes twice:
FastAPI checks what a plain function returns in the pool, too, unless it is a finished response.
"""

from __future__ import annotations

import time

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from demo_apps import common, fastapi_app
from demo_apps.django_threads.counting import counted_asgi, install

install()

outer = FastAPI()
outer.add_middleware(fastapi_app.ContractHeaders)


@outer.get("/sync/hold")
def hold(ms: fastapi_app.Milliseconds = common.DEFAULT_HOLD_MS) -> PlainTextResponse:
    time.sleep(ms / 1000)
    return PlainTextResponse(common.held(ms))


outer.mount("/", fastapi_app.application)

application = counted_asgi(outer)
