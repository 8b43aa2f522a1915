"""Showing a folder to a program as ``/opt/ml``, in a mount namespace of the program's own.

It works without privileges where the system allows user namespaces: with ``unshare`` of util-linux, or with
bubblewrap. Nothing on the machine changes: where there is no ``/opt/ml``, the program sees a new ``/opt`` that holds
all that is in the machine's, and ``ml``.
"""

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloudtune_sagemaker.emulator.training import BASE

_PROBE_SECONDS = 10.0


class Mounting(Protocol):
    """A way to start a program so that it finds a folder at ``/opt/ml``.

    Attributes:
        works: whether there is such a way.
        why_not: what is in its way, for the user; "" where it works.
    """

    @property
    def works(self) -> bool: ...

    @property
    def why_not(self) -> str: ...

    def words(self, root: Path, hosts: Path, command: Sequence[str]) -> list[str]:
        """The command that starts a command in ``/opt/ml/code``.

        Args:
            root: the folder to show as ``/opt/ml``.
            hosts: the file to show as ``/etc/hosts``.
            command: a program and its arguments.
        """


@dataclass(frozen=True, slots=True)
class NotMounted:
    """No way to mount: the program starts as it is, and its variables lead it to its folder."""

    why_not: str
    works: bool = False

    def words(self, root: Path, hosts: Path, command: Sequence[str]) -> list[str]:  # noqa: ARG002  # see Mounting
        """The command itself."""
        return list(command)


# $1 what becomes /opt/ml, $2 an empty folder, $3 what becomes /etc/hosts; then the program and its arguments.
_MOUNT = f"""
set -e
root=$1 stage=$2 hosts=$3
shift 3
if [ -d {BASE} ]; then
    mount --bind "$root" {BASE}
else
    mount -t tmpfs -o mode=755 tmpfs "$stage"
    for entry in /opt/* /opt/.[!.]*; do
        copy=$stage/${{entry##*/}}
        if [ -L "$entry" ]; then
            cp -P "$entry" "$copy"
        elif [ -d "$entry" ]; then
            mkdir "$copy"
            mount --rbind "$entry" "$copy"
        elif [ -e "$entry" ]; then
            : > "$copy"
            mount --bind "$entry" "$copy"
        fi
    done
    mkdir "$stage/ml"
    mount --bind "$root" "$stage/ml"
    mount --rbind "$stage" /opt
fi
if [ -f /etc/hosts ]; then
    mount --bind "$hosts" /etc/hosts
fi
cd {BASE}/code
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Unshare:
    """Mounts with ``unshare`` of util-linux; the program's process is the one that was started.

    Attributes:
        program: the path of ``unshare``.
    """

    program: str
    works: bool = True
    why_not: str = ""

    def words(self, root: Path, hosts: Path, command: Sequence[str]) -> list[str]:
        """See `Mounting`; the user is root in there, as in a container, and itself on the machine."""
        stage = root.with_name(f"{root.name}.opt")
        stage.mkdir(exist_ok=True)
        start = [self.program, "--user", "--map-root-user", "--mount", "--propagation", "private", "--"]
        return [*start, "/bin/sh", "-c", _MOUNT, "mount", str(root), str(stage), str(hosts), *command]


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """Mounts with bubblewrap, which on some systems may make a user namespace where other programs may not.

    Attributes:
        program: the path of ``bwrap``.
    """

    program: str
    works: bool = True
    why_not: str = ""

    def words(self, root: Path, hosts: Path, command: Sequence[str]) -> list[str]:
        """See `Mounting`."""
        start = [self.program, "--dev-bind", "/", "/"]
        if not Path(BASE).is_dir():
            start += ["--tmpfs", "/opt"]
            for entry in sorted(Path("/opt").iterdir()):
                link = ["--symlink", str(entry.readlink())] if entry.is_symlink() else ["--dev-bind", str(entry)]
                start += [*link, str(entry)]
        start += ["--bind", str(root), BASE]
        if Path("/etc/hosts").is_file():
            start += ["--ro-bind", str(hosts), "/etc/hosts"]
        return [*start, "--chdir", f"{BASE}/code", "--", *command]


@functools.cache
def mounting() -> Mounting:
    """The way that works on this machine, found out once by really mounting a folder."""
    reasons: list[str] = []
    for name, kind in (("unshare", Unshare), ("bwrap", Bubblewrap)):
        program = shutil.which(name)
        if program is None:
            reasons.append(f"there is no {name}")
            continue
        reason = problem(kind(program))
        if not reason:
            return kind(program)
        reasons.append(f"{name}: {reason}")
    return NotMounted("; ".join(reasons))


def problem(way: Mounting) -> str:
    """What a way fails with when it is tried; "" if a program sees the folder's file and leaves one there."""
    with tempfile.TemporaryDirectory(prefix="cloudtune-mount-") as name:
        root, hosts = Path(name, "ml"), Path(name, "hosts")
        (root / "code").mkdir(parents=True)
        (root / "seen").touch()
        hosts.touch()
        test = ["/bin/sh", "-c", f"test -f {BASE}/seen && : > {BASE}/code/left"]
        try:
            done = subprocess.run(
                way.words(root, hosts, test), capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == 0 and (root / "code" / "left").is_file():
            return ""
        return done.stderr.strip().partition("\n")[0] or f"exit code {done.returncode}"
