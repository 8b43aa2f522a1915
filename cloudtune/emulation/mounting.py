"""Showing folders to a program at the places where a container has them, in a mount namespace of the program's own.

It works without privileges where the system allows user namespaces: with ``unshare`` of util-linux, or with
bubblewrap. Nothing on the machine changes: where there is no such place, the program sees a new parent of it that
holds all that is in the machine's.
"""

import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_PROBE_SECONDS = 10.0


class Mounting(Protocol):
    """A way to start a program so that it finds folders elsewhere.

    Attributes:
        works: whether there is such a way.
        why_not: what is in its way, for the user; "" where it works.
    """

    @property
    def works(self) -> bool: ...

    @property
    def why_not(self) -> str: ...

    def words(self, shown: Mapping[str, Path], stage: Path, start: str, command: Sequence[str]) -> list[str]:
        """The command that starts a command where folders are shown.

        Args:
            shown: folders and files by the places where they are shown; a parent of each is there already.
            stage: a folder of its own, which is made.
            start: where the command starts.
            command: a program and its arguments.
        """


@dataclass(frozen=True, slots=True)
class NotMounted:
    """No way to mount: the program starts as it is, and its variables lead it to its folders."""

    why_not: str
    works: bool = False

    def words(self, shown: Mapping[str, Path], stage: Path, start: str, command: Sequence[str]) -> list[str]:  # noqa: ARG002  # see Mounting
        """The command itself."""
        return list(command)


_MOUNTED = Path(__file__).with_name("mounted.py")
"""The program that mounts, and then becomes the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Unshare:
    """Mounts with ``unshare`` of util-linux; the program's process is the one that was started.

    Attributes:
        program: the path of ``unshare``.
    """

    program: str
    works: bool = True
    why_not: str = ""

    def words(self, shown: Mapping[str, Path], stage: Path, start: str, command: Sequence[str]) -> list[str]:
        """See `Mounting`; the user is root in there, as in a container, and itself on the machine."""
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        enter = [self.program, "--user", "--map-root-user", "--mount", "--propagation", "private", "--"]
        # What is shown at the root comes last: it takes along what has been shown elsewhere.
        ordered = sorted(shown.items(), key=lambda pair: pair[0].count("/"), reverse=True)
        pairs = [word for place, folder in ordered for word in (str(folder), place)]
        python = [sys.executable, "-I", "-S", str(_MOUNTED)]
        return [*enter, *python, str(stage), start, str(len(shown)), *pairs, *command]


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """Mounts with bubblewrap, which on some systems may make a user namespace where other programs may not.

    Attributes:
        program: the path of ``bwrap``.
    """

    program: str
    works: bool = True
    why_not: str = ""

    def words(self, shown: Mapping[str, Path], stage: Path, start: str, command: Sequence[str]) -> list[str]:  # noqa: ARG002  # see Mounting
        """See `Mounting`."""
        words = [self.program]
        missing = {str(Path(place).parent) for place in shown if not Path(place).exists()}
        words += _entries(Path("/")) if "/" in missing else ["--dev-bind", "/", "/"]
        for parent in sorted(missing - {"/"}):
            words += ["--tmpfs", parent, *_entries(Path(parent))]
        for place, folder in shown.items():
            words += ["--bind" if folder.is_dir() else "--ro-bind", str(folder), place]
        return [*words, "--chdir", start, "--", *command]


def _entries(folder: Path) -> list[str]:
    """Words that make all that is in a folder of the machine appear in the new one."""
    words: list[str] = []
    for entry in sorted(folder.iterdir()):
        link = ["--symlink", str(entry.readlink())] if entry.is_symlink() else ["--dev-bind", str(entry)]
        words += [*link, str(entry)]
    return words


@functools.cache
def mounting(place: str) -> Mounting:
    """The way that works on this machine for a place, found out once by really mounting a folder there.

    Args:
        place: e.g. ``/opt/ml``.
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
    """What a way fails with when it is tried; "" if a program sees the folder's file and leaves one there."""
    with tempfile.TemporaryDirectory(prefix="cloudtune-mount-") as name:
        root = Path(name, "root")
        (root / "code").mkdir(parents=True)
        (root / "seen").touch()
        test = ["/bin/sh", "-c", f"test -f {place}/seen && : > {place}/code/left"]
        words = way.words({place: root}, Path(name, "stage"), f"{place}/code", test)
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == 0 and (root / "code" / "left").is_file():
            return ""
        return done.stderr.strip().partition("\n")[0] or f"exit code {done.returncode}"
