"""The renderer's process: ``python -m gatewaylab.publish.renderer OWNER ROOT FOLDER``.

It is jupyter-book, and ends with its owner, even one that is killed.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

from jupyter_book.cli.main import main as jupyter_book

from gatewaylab.guard.guard import PR_SET_PDEATHSIG, prctl


def main() -> None:
    """Render the book at ROOT below FOLDER; status 1 after a warning."""
    owner, root, folder = sys.argv[1:]
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(owner):
        raise SystemExit("whoever wanted this rendering has gone")
    gc.disable()  # in so short a life, looking for garbage takes a third of the time
    jupyter_book(["build", root, "-W", "-n", "--keep-going", "--path-output", folder])


if __name__ == "__main__":
    main()
