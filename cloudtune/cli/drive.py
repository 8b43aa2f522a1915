"""Drives one run in a process of its own: ``python -m cloudtune.cli.drive PROJECT RUN``."""

import contextlib
import os
import sys
import traceback
from pathlib import Path

from cloudtune.api import attach
from cloudtune.errors import CloudtuneError


def main(project: str, run_id: str) -> int:
    """Drives the run to its end; returns the exit code. What it says goes to the driver's log, whose disk may be full."""
    try:
        attach(run_id, project=Path(project)).wait()
    except CloudtuneError as error:
        with contextlib.suppress(OSError):
            if os.environ.get("CLOUDTUNE_DEBUG"):
                traceback.print_exc()
            print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
