"""The program that a service starts: run the trial by the helper that travels with the user's code.

It lies in the folder of the user's code, or alone beside the archive of it, whole or in parts. Needs Python 3.8 or newer and the standard
library alone.
"""

# ruff: noqa: PTH100, PTH112, PTH118, PTH120, PTH123, PTH208  # pathlib would double the time that importing this file takes
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

    Within such a trial, run the command or function that the arguments name.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    if here not in sys.path:  # Python was started with -P or -I
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
        shutil.rmtree(own, ignore_errors=True)  # an emulator runs several trials on one machine


def _unpacked(folder: str, own: str) -> str:
    """Unpack the archive in a folder, which may lie there in parts; return the folder of the code, which is put first on the import path."""
    import shutil
    import tarfile
    import tempfile

    target = os.path.join(own, "source")
    with tempfile.TemporaryFile() as whole:
        for name in sorted(each for each in os.listdir(folder) if each.startswith(_ARCHIVE)):
            with open(os.path.join(folder, name), "rb") as part:
                shutil.copyfileobj(part, whole)
        whole.seek(0)
        with tarfile.open(fileobj=whole) as packed:
            packed.extractall(target)  # noqa: S202  # cloudtune packed it, and named it by a hash of its content
    sys.path.insert(0, target)
    return target


if __name__ == "__main__":
    sys.exit(main())
