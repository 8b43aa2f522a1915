"""The program that mounts folders in its own mount namespace, and then execs a command.

``python -I -S mounted.py STAGE START COUNT [FOLDER PLACE]… COMMAND…``, started by ``unshare``: STAGE is an empty folder,
and the command starts in START. One process mounts by system calls, since a shell would start two programs for every
entry of a parent folder. Nothing of cloudtune is imported.
"""

# ruff: noqa: PTH102, PTH110, PTH112, PTH115, PTH118, PTH123, PTH211  # pathlib would double the time that importing takes

import ctypes
import os
import sys

_BIND, _RECURSIVE = 4096, 16384  # MS_BIND and MS_REC, mount(2)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # a shell's exit codes


def _mount(source: str, target: str, *, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if _system.mount(*texts, ctypes.c_ulong(flags), None if data is None else data.encode()):
        number = ctypes.get_errno()
        sys.exit(f"mount {source} at {target}: {os.strerror(number)}")


def _mount_at(folder: str, place: str, stage: str) -> str:
    """Mount a folder at a place; return the new root that the place needs, "" for none."""
    if os.path.exists(place):
        _mount(folder, place, flags=_BIND)
        return ""
    parent, _, name = place.rpartition("/")
    copy = os.path.join(stage, "of" + parent.replace("/", "_"))
    if os.path.isdir(
        copy
    ):  # made for an earlier place; where it is mounted already, only mounts at the parent are seen
        _make_like(folder, os.path.join(copy, name))
        _mount(folder, place if parent else os.path.join(copy, name), flags=_BIND)
        return ""
    os.mkdir(copy)
    _mount("tmpfs", copy, kind="tmpfs", data="mode=755")
    for entry in os.scandir(parent or "/"):
        _bind(entry, os.path.join(copy, entry.name))
    _make_like(folder, os.path.join(copy, name))
    _mount(folder, os.path.join(copy, name), flags=_BIND)
    if not parent:
        return copy
    _mount(copy, parent, flags=_BIND | _RECURSIVE)
    return ""


def _make_like(folder: str, own: str) -> None:
    """Make an empty folder or file, for a folder or file to be mounted at."""
    if os.path.isdir(folder):
        os.mkdir(own)
    else:
        with open(own, "x"):
            pass


def _bind(entry: "os.DirEntry[str]", own: str) -> None:
    """Make an entry of a folder visible at another path."""
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), own)
    elif entry.is_dir():
        os.mkdir(own)
        _mount(entry.path, own, flags=_BIND | _RECURSIVE)
    else:
        with open(own, "x"):
            _mount(entry.path, own, flags=_BIND)


def _main(stage: str, start: str, count: int, rest: list[str]) -> None:
    pairs, command = rest[: 2 * count], rest[2 * count :]
    roots = [_mount_at(folder, place, stage) for folder, place in zip(pairs[::2], pairs[1::2], strict=True)]
    for root in filter(None, roots):
        os.chroot(root)
    os.chdir(start)
    try:
        os.execvp(command[0], command)  # noqa: S606  # the user's own command
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)


if __name__ == "__main__":
    _system = ctypes.CDLL(None, use_errno=True)
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
