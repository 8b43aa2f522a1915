"""How a program is started that plays a container's: its environment, and its end with the emulator's."""

import functools
import os
import shlex
import shutil
import site
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cloudtune.process.orphans import VARIABLE

_OF_THIS_MACHINE = (
    "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE",
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    "VIRTUAL_ENV", "CONDA_PREFIX",
    "CLOUDTUNE_TEST_WORKER",  # by which tests find processes that outlive them
)  # fmt: skip
"""What a container takes from the emulator's own environment: the machine's language, libraries and processors."""


def environment_of(given: Mapping[str, str], mark: Path, home: Path) -> dict[str, str]:
    """The environment of a program.

    Args:
        given: its variables besides what this machine gives every one.
        mark: the job's folder, by which its processes are found.
        home: a folder for what programs keep at home; made.
    """
    home.mkdir(exist_ok=True)
    return {
        **{name: os.environ[name] for name in _OF_THIS_MACHINE if name in os.environ},
        "HOME": str(home),
        "PYTHONUSERBASE": site.getuserbase(),  # the packages that HOME would have led to
        "PYTHONUNBUFFERED": "1",  # as in the framework images: lines arrive when they are printed
        **given,
        "PATH": _search_path(given.get("PATH") or os.environ.get("PATH", os.defpath), mark),
        VARIABLE: str(mark),
    }


@functools.cache
def with_the_emulator() -> tuple[str, ...]:
    """Words before a command that have it asked to end (SIGTERM) when the emulator is killed; none where none can."""
    program = shutil.which("setpriv")
    if program is None:
        return ()
    words = (program, "--pdeathsig", "TERM")
    done = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if done.returncode == 0 else ()


def _search_path(path: str, mark: Path) -> str:
    """A search path on which ``python`` and ``python3`` are the interpreter that runs the emulator."""
    own = Path(sys.executable).parent
    if not all(_is_this_python(own / name) for name in ("python", "python3")):
        own = mark / "bin"
        own.mkdir(exist_ok=True)
        for name in ("python", "python3"):  # no links: Python finds its virtual environment by its own place
            (own / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
            (own / name).chmod(0o755)
    return f"{own}{os.pathsep}{path}"


def _is_this_python(path: Path) -> bool:
    return path.exists() and path.samefile(sys.executable)
