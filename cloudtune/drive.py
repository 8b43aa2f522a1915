"""Drives one run in a process of its own: ``python -m cloudtune.drive PROJECT RUN``."""

import sys
from pathlib import Path

from cloudtune.api import attach
from cloudtune.errors import CloudtuneError


def main(project: str, run_id: str) -> int:
    """Drives the run to its end; returns the exit code."""
    try:
        attach(run_id, project=Path(project)).wait()
    except CloudtuneError as error:
        print(error, file=sys.stderr)  # the log of the driver
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
