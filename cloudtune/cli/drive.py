"""The driver process of one run: ``python -m cloudtune.cli.drive PROJECT RUN``."""

import contextlib
import gc
import os
import sys
import traceback
from pathlib import Path

from cloudtune.api import attach
from cloudtune.errors import CloudtuneError


def main(project: str, run_id: str) -> int:
    """Drive the run to its end and return the exit code; print errors to stderr, the driver's log."""
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
    code = main(*sys.argv[1:])
    gc.freeze()  # as in `cloudtune.cli.main`
    sys.exit(code)
