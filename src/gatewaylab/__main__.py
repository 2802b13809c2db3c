"""The program: ``gatewaylab``, or ``python -m gatewaylab``.

It is apart from `cli` so that an interrupt while that is still being imported is a sentence, too.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line."""
    try:
        from gatewaylab import cli

        cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("gatewaylab: interrupted\n")
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end is near, and in order


if __name__ == "__main__":
    main()
