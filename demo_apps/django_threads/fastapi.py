"""FastAPI, counted: the same routes from a framework that was born async, and one of its own.

Its ``/sync/moments`` goes through the pool of threads once. A plain function that returns a value
goes twice: FastAPI checks what comes back in the pool, too, unless it is a finished response.
"""

from __future__ import annotations

import time

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from demo_apps import common, fastapi_app
from demo_apps.django_threads.counting import counted_asgi, install

install()

outer = FastAPI()
outer.add_middleware(fastapi_app.ContractHeaders)


@outer.get("/sync/moments")
def moments(ms: fastapi_app.Milliseconds = common.DEFAULT_HOLD_MS) -> JSONResponse:
    began = time.monotonic()
    time.sleep(ms / 1000)
    return JSONResponse({"began": began, "ended": time.monotonic()})


outer.mount("/", fastapi_app.application)

application = counted_asgi(outer)
