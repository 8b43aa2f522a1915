"""Mounting of folders at container paths (e.g. ``/opt/ml``) for one program, in a mount namespace of its own.

Works without privileges where the system allows user namespaces: with ``unshare`` of util-linux, or with bubblewrap.
The machine itself does not change: where a path does not exist, the program sees a copy of its parent folder that
holds all entries of the machine's.
"""

import functools
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloudtune.system.temporary import TemporaryFolder

_PROBE_SECONDS = 10.0


class Mounting(Protocol):
    """A method to start a program with folders mounted at other paths.

    Attributes:
        works: whether the method works on this machine.
        why_not: the reason, for the user, why it does not work; "" if it does.
    """

    @property
    def works(self) -> bool: ...

    @property
    def why_not(self) -> str: ...

    def words(self, shown: Mapping[str, Path], stage: Path, start: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` with folders mounted.

        Args:
            shown: the folders and files to mount, by their mount points; the parent of each mount point exists.
            stage: a folder for intermediate mounts, which is created anew.
            start: the folder in which the command starts.
            command: a program and its arguments.
        """


@dataclass(frozen=True, slots=True)
class NotMounted:
    """No method to mount: the program starts unchanged and finds its folders by environment variables."""

    why_not: str
    works: bool = False

    def words(self, shown: Mapping[str, Path], stage: Path, start: str, command: Sequence[str]) -> list[str]:  # noqa: ARG002  # see Mounting
        """Return the command itself."""
        return list(command)


_MOUNTED = Path(__file__).with_name("mounted.py")
"""The program that mounts the folders and then execs the command."""


@dataclass(frozen=True, slots=True)
class Unshare:
    """Mounting with ``unshare`` of util-linux, which execs the program: the process id stays the same.

    Attributes:
        program: the path of ``unshare``.
    """

    program: str
    works: bool = True
    why_not: str = ""

    def words(self, shown: Mapping[str, Path], stage: Path, start: str, command: Sequence[str]) -> list[str]:
        """Return the command of `Mounting.words`; in the namespace the user appears as root, as in a container."""
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        enter = [self.program, "--user", "--map-root-user", "--mount", "--propagation", "private", "--"]
        # Mounts at the root come last, since their copy of the root includes the earlier mounts.
        ordered = sorted(shown.items(), key=lambda pair: pair[0].count("/"), reverse=True)
        pairs = [word for place, folder in ordered for word in (str(folder), place)]
        python = [sys.executable, "-I", "-S", str(_MOUNTED)]
        return [*enter, *python, str(stage), start, str(len(shown)), *pairs, *command]


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """Mounting with bubblewrap, which on some systems may create a user namespace where other programs may not.

    Attributes:
        program: the path of ``bwrap``.
    """

    program: str
    works: bool = True
    why_not: str = ""

    def words(self, shown: Mapping[str, Path], stage: Path, start: str, command: Sequence[str]) -> list[str]:  # noqa: ARG002  # see Mounting
        """Return the command of `Mounting.words`."""
        words = [self.program]
        missing = {str(Path(place).parent) for place in shown if not Path(place).exists()}
        words += _entries(Path("/")) if "/" in missing else ["--dev-bind", "/", "/"]
        for parent in sorted(missing - {"/"}):
            words += ["--tmpfs", parent, *_entries(Path(parent))]
        for place, folder in shown.items():
            words += ["--bind" if folder.is_dir() else "--ro-bind", str(folder), place]
        return [*words, "--chdir", start, "--", *command]


def _entries(folder: Path) -> list[str]:
    """Return the arguments of ``bwrap`` that bind every entry of a folder into a new one."""
    words: list[str] = []
    for entry in sorted(folder.iterdir()):
        link = ["--symlink", str(entry.readlink())] if entry.is_symlink() else ["--dev-bind", str(entry)]
        words += [*link, str(entry)]
    return words


@functools.cache
def mounting(place: str) -> Mounting:
    """Return the method that works on this machine, tested once per mount point by mounting a folder there.

    Args:
        place: the mount point, e.g. ``/opt/ml``.
    """
    reasons: list[str] = []
    for name, kind in (("unshare", Unshare), ("bwrap", Bubblewrap)):
        program = shutil.which(name)
        if program is None:
            reasons.append(f"there is no {name}")
            continue
        reason = problem(kind(program), place)
        if not reason:
            return kind(program)
        reasons.append(f"{name}: {reason}")
    return NotMounted("; ".join(reasons))


def problem(way: Mounting, place: str) -> str:
    """Return why a method fails; "" if a test program reads a file from the mounted folder and writes one into it."""
    with TemporaryFolder("mount") as folder:
        root = folder.path / "root"
        (root / "code").mkdir(parents=True)
        (root / "seen").touch()
        test = ["/bin/sh", "-c", f"test -f {place}/seen && : > {place}/code/left"]
        words = way.words({place: root}, folder.path / "stage", f"{place}/code", test)
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == 0 and (root / "code" / "left").is_file():
            return ""
        return done.stderr.strip().partition("\n")[0] or f"exit code {done.returncode}"
