"""gunicorn's worker around uvicorn, on the same loop as every other ASGI server here."""

from __future__ import annotations

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]


class AsyncioUvicornWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn-worker takes its options from a class attribute, not from the command line."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "asyncio", "http": "auto", "lifespan": "off"}
