"""What a command prints, for pages that show it: the build runs it."""

import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parent / "project"
"""The job and the profiles that these commands see."""

_WIDTH = "150"


@cache
def output_of(command: str) -> str:
    """Return a command and what it prints in the example project, as a block of code.

    Raises:
        RuntimeError: the command failed.
    """
    words = shlex.split(command)
    environment = {**os.environ, "COLUMNS": _WIDTH, "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command} failed while the documentation was built: {done.stderr or done.stdout}")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "\n".join(["```text", f"$ {command}", *lines, "```"])
