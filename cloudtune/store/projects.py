"""The index of a user's projects, by which runs are found from every folder."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

from cloudtune.config import STORE

_MOST = 1000
"""Projects that are remembered; those that were used longest ago go first."""


def index_file() -> Path:
    """Where the index is, in the user's folder for data (XDG Base Directory Specification)."""
    root = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(root) / "cloudtune" / "projects.json"


def known_projects() -> list[Path]:
    """The folders of all projects that still have a store, the one that was used last first."""
    return [folder for folder in reversed(_read()) if has_store(folder)]


def has_store(folder: Path) -> bool:
    """Whether a folder is a project with a store that this user may enter."""
    try:
        return (folder / STORE / "store.db").is_file()
    except OSError:
        return False


def remember(project: Path) -> None:
    """Put a project into the index, and drop those that are gone; nothing where the index cannot be written.

    Runs in it are then found by their ids alone; without, by ``cloudtune -C FOLDER``.
    """
    folder, listed = project.resolve(), _read()
    if listed and listed[-1] == folder:
        return
    others = [each for each in listed if each != folder and has_store(each)]
    path = index_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as fresh:
            json.dump([str(each) for each in [*others, folder][-_MOST:]], fresh)
        Path(fresh.name).replace(path)


def _read() -> list[Path]:
    try:
        found = json.loads(index_file().read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [Path(each) for each in found if isinstance(each, str)] if isinstance(found, list) else []
