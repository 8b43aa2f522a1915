"""The command line: ``cloudtune``."""

import contextlib
import gc
import os
import sys

_OBJECTS = 200_000
"""New objects after which garbage is collected; at Python's 700, a hundred collections of what modules keep delay the start."""


def main() -> int:
    """Run the command of ``sys.argv`` and return its exit code."""
    gc.set_threshold(_OBJECTS)
    from cloudtune.cli.app import run_app  # noqa: PLC0415  # not loaded by those who only import the package

    code = run_app()
    asking = sys.modules.get("cloudtune.looking.asking")
    if asking is not None and any(thread.is_alive() for thread in asking.abandoned):
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # do not wait for threads that wait for a service
    gc.freeze()  # else the interpreter looks through all objects of the SDKs before it ends: up to 0.8 s
    return code
