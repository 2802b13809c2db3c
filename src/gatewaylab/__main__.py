"""The program: ``gatewaylab``, or ``python -m gatewaylab``.

It is apart from `cli` so that an interrupt while that is still being imported is a sentence, too.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line."""
    try:
        _fill_descriptors()
        from gatewaylab import cli

        cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("gatewaylab: interrupted\n")
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end is near, and in order


def _fill_descriptors() -> None:
    """Open 0, 1 and 2 where the shell has closed them: the next pipe would be taken for one."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


if __name__ == "__main__":
    main()
