"""Results as files: written whole or not at all, and checked when they are read."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gatewaylab.errors import InputError, ResultError

Model = TypeVar("Model", bound=BaseModel)

_MOST_LINKS = 40  # that the kernel follows, too


def regular(path: Path) -> Path:
    """The file that ``path`` names: there or still to be made, links followed to their end.

    Raises:
        InputError: a folder, a device, a pipe or a socket is there, which no result may replace.
    """
    end = path
    for _ in range(_MOST_LINKS):
        if Path(os.path.realpath(end.parent)).is_relative_to("/proc"):
            # Standard output may well be a file, but one that others write to as well.
            raise InputError(
                f"{path} leads into /proc, where no result can be kept; name another file, or "
                f"give - for standard output"
            )
        if not end.is_symlink():
            break
        end = end.parent / end.readlink()
    end = Path(os.path.realpath(end))
    try:
        mode = end.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return end
    if stat.S_ISREG(mode):
        return end
    what = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
    raise InputError(f"{path} is {what}; a result is saved to an ordinary file: name another")


def check_destination(path: Path, size: int = 0) -> None:
    """Make sure, before a long measurement, that its result can be saved as ``path``.

    Args:
        size: about how many bytes it will have.

    Raises:
        InputError: no file can be written there, or the disk has too little room.
    """
    try:
        end = regular(path)
        if not end.parent.is_dir():
            raise InputError(f"{end.parent} is not a folder; make it, or save elsewhere")
        if end.exists() and not os.access(end, os.W_OK):
            raise InputError(f"{path} is read-only; save elsewhere, or make it writable")
        with tempfile.TemporaryFile(dir=end.parent) as trial:
            trial.write(b"\n")
        room = shutil.disk_usage(end.parent).free
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; save elsewhere") from error
    if room < size:
        raise InputError(
            f"{path} will need about {size / 1e6:.1f} MB, and its disk has {room / 1e6:.1f} MB "
            f"left; make room, or save elsewhere"
        )


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` so that a reader or a crash sees the old or the new, whole.

    A link stays one: what it leads to is replaced. A new file gets the mode that the umask allows,
    an old one keeps its own. A process that is killed half-way leaves a hidden ``.<name>.*`` beside
    the file, no more.

    Raises:
        InputError: what is there is no ordinary file.
        OSError: the disk is full or not writable; what was there before is untouched.
    """
    path = regular(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            with contextlib.suppress(FileNotFoundError):
                shutil.copymode(path, temporary)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_or_rescue(path: Path, text: str) -> None:
    """`write_atomically` for what took long to measure: if it fails, a copy is kept elsewhere.

    Raises:
        ResultError: ``path`` could not be written; it says where the copy is.
    """
    try:
        write_atomically(path, text)
    except (OSError, InputError) as error:
        raise ResultError(
            f"{path} cannot be written: {error}; {rescue(text, path.name)}"
        ) from error


def rescue(text: str, name: str) -> str:
    """Keep ``text`` in the temporary folder, in a file called like ``name``; says where it is."""
    try:
        handle, copy = tempfile.mkstemp(prefix="gatewaylab-", suffix=f"-{name[-80:]}")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        return f"no copy could be kept in the temporary folder either: {error}"
    return f"what was measured is kept in {copy}"


def save_or_rescue(model: BaseModel, path: Path) -> None:
    """`save` with an indent, by `write_or_rescue`."""
    write_or_rescue(path, model.model_dump_json(indent=1) + "\n")


def save(model: BaseModel, path: Path, indent: int | None = None) -> None:
    """Write a result as JSON, atomically; with an indent, for people who read its changes."""
    write_atomically(path, model.model_dump_json(indent=indent) + "\n")


def load(kind: type[Model], path: Path) -> Model:
    """Read a result back.

    Raises:
        ResultError: the file is missing, unreadable, truncated, or fails validation.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ResultError(f"{path} does not exist") from error
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        raise ResultError(f"{path} is not a valid {kind.__name__}: {error}") from error
