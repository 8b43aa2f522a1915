"""The program that a service starts beside the user's code: it runs the trial by the helper that travels with it.

It stands in the folder of the user's code, or alone beside the archive of it. Python 3.8 and the standard library are
enough for it.
"""

# ruff: noqa: PTH100, PTH112, PTH118, PTH120  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import os
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HELPER = "cloudtune_helper"
_ARCHIVE = "sourcedir.tar.gz"


def main() -> int:
    """Run the trial that the job file beside this program describes, and return the exit code.

    Within such a trial, run what the arguments say.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    if here not in sys.path:  # Python was started so that it leaves the program's folder out
        sys.path.insert(0, here)
    if "CLOUDTUNE_PARAMETERS" in os.environ:
        program: Callable[[Sequence[str]], int] = import_module(f"{_HELPER}.__main__").main
        return program(sys.argv[1:])
    import shutil
    import tempfile

    own = tempfile.mkdtemp(prefix="cloudtune-trial-")
    try:
        source = here if os.path.isdir(os.path.join(here, _HELPER)) else _unpacked(here, own)
        run: Callable[[str, str, str], int] = import_module(f"{_HELPER}.container").run
        return run(here, source, own)
    finally:
        shutil.rmtree(own, ignore_errors=True)  # a machine that plays the container outlives the trial


def _unpacked(folder: str, own: str) -> str:
    """Return the folder of the code that was unpacked from the archive in a folder, from where modules are imported now."""
    import tarfile

    target = os.path.join(own, "source")
    with tarfile.open(os.path.join(folder, _ARCHIVE)) as packed:
        packed.extractall(target)  # noqa: S202  # we packed it ourselves, beneath a hash of its content
    sys.path.insert(0, target)
    return target


if __name__ == "__main__":
    sys.exit(main())
