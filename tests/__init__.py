import subprocess
import sys
from pathlib import Path

#: The repository.
ROOT = Path(__file__).resolve().parents[1]


def printed(code: str, *, cwd: Path = ROOT) -> str:
    """What a Python of its own prints; it must end well."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd).stdout
