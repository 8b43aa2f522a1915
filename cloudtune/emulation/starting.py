"""The environment of a local program that stands in for a container's, and its end together with the emulator."""

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
    "CLOUDTUNE_TEST_WORKER",  # the tests find leftover processes by it
)  # fmt: skip
"""Variables that a program inherits from the emulator: the machine's language, libraries and processors."""


def environment_of(given: Mapping[str, str], mark: Path, home: Path, scratch: Path | None = None) -> dict[str, str]:
    """Return the environment of a program.

    Args:
        given: its variables, besides those inherited from this machine.
        mark: the job's folder, by which its processes are found.
        home: its home folder, which is created.
        scratch: where it makes temporary files; None for the system's folder.
    """
    home.mkdir(exist_ok=True)
    return {
        **{name: os.environ[name] for name in _OF_THIS_MACHINE if name in os.environ},
        **({} if scratch is None else {"TMPDIR": str(scratch)}),
        "HOME": str(home),
        "PYTHONUSERBASE": site.getuserbase(),  # the user's packages, despite another HOME
        "PYTHONUNBUFFERED": "1",  # as in the framework images: lines arrive when they are printed
        **given,
        "PATH": _search_path(given.get("PATH") or os.environ.get("PATH", os.defpath), mark),
        VARIABLE: str(mark),
    }


@functools.cache
def with_the_emulator() -> tuple[str, ...]:
    """Return the prefix of a command that gets SIGTERM when the emulator is killed; () where that is not supported."""
    program = shutil.which("setpriv")
    if program is None:
        return ()
    words = (program, "--pdeathsig", "TERM")
    done = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if done.returncode == 0 else ()


def _search_path(path: str, mark: Path) -> str:
    """Return a search path on which ``python`` and ``python3`` are the interpreter that runs the emulator."""
    own = Path(sys.executable).parent
    if not all(_is_this_python(own / name) for name in ("python", "python3")):
        own = mark / "bin"
        own.mkdir(exist_ok=True)
        for name in ("python", "python3"):  # no links: Python finds its virtual environment by its own path
            (own / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
            (own / name).chmod(0o755)
    return f"{own}{os.pathsep}{path}"


def _is_this_python(path: Path) -> bool:
    return path.exists() and path.samefile(sys.executable)
