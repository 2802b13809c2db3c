"""The site as readers open it: a whole folder, and a link that leads to it.

A site is put together beside the present one, in a folder whose name begins with the key of what
it is made from. Then the link ``_build/html`` is replaced, which is one step for the kernel: a
reader, or a build that is killed, finds the one site or the other, and each of them whole.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from gatewaylab.publish.book import Book


def made_from(book: Book) -> str | None:
    """The key of what the present site is made from; None if there is no site."""
    if not book.html.is_symlink() or not (book.html / "index.html").exists():
        return None
    return book.html.readlink().name.partition("-")[0]


def assemble(book: Book, pages: Path) -> Path:
    """A copy of what the renderer has made, to be finished and then given to `exchange`."""
    half = book.sites / "half"
    shutil.rmtree(half, ignore_errors=True)
    return Path(shutil.copytree(pages, half))


def exchange(book: Book, half: Path, key: str) -> None:
    """Let the site at ``half`` take the present one's place, and remove all others."""
    whole = book.sites / f"{key}-{secrets.token_hex(4)}"  # also beside one of the same key
    half.rename(whole)
    if book.html.is_dir() and not book.html.is_symlink():
        shutil.rmtree(book.html)  # of a version that had no link
    link = book.sites / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(whole, book.html.parent))
    link.replace(book.html)
    for other in book.sites.iterdir():
        if other != whole:
            shutil.rmtree(other, ignore_errors=True)
