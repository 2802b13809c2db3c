"""Stands for a language model: it answers with the question, and waits for its reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from django.conf import settings


async def words(question: str) -> AsyncIterator[str]:
    """Each word of the question; after it, until the file `heard-` and the word is in `SITE`."""
    for word in question.split():
        yield word
        while not Path(settings.SITE, f"heard-{word}").exists():
            await asyncio.sleep(0.01)
