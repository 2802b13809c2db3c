"""Results as files: written whole or not at all, and checked when they are read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gatewaylab.errors import ResultError

Model = TypeVar("Model", bound=BaseModel)


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` so that a reader or a crash sees the old or the new, whole.

    A process that is killed half-way leaves a hidden ``.<name>.*`` beside the file, no more.

    Raises:
        OSError: the disk is full or not writable; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)  # a temporary file is born private; results are read
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


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
