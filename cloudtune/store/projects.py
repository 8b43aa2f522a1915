"""Find a project's folder, and keep the index of a user's projects, by which runs are found from every folder."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from cloudtune.store import STORE

FILE = "cloudtune.toml"
"""The file of profiles and settings in a project's folder."""

_MAX_PROJECTS = 1000
"""Number of projects in the index; those that were used longest ago are dropped first."""


def index_file() -> Path:
    """Return the path of the index, in the user's data folder (XDG Base Directory Specification)."""
    root = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(root) / "cloudtune" / "projects.json"


def known_projects() -> list[Path]:
    """Return the folders of all projects that still have a store, the most recently used first."""
    return [folder for folder in reversed(_read()) if has_store(folder)]


def has_store(folder: Path) -> bool:
    """Return whether a folder is a project with a store that this user may enter."""
    try:
        return (folder / STORE / "store.db").is_file()
    except OSError:
        return False


def remember(project: Path) -> None:
    """Add a project to the index, and drop those that are gone; do nothing where the index cannot be written.

    Runs of an indexed project are found by their ids alone, others by ``cloudtune -C FOLDER``.
    """
    folder, listed = project.resolve(), _read()
    if listed and listed[-1] == folder:
        return
    others = [each for each in listed if each != folder and has_store(each)]
    path = index_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as fresh:
            json.dump([str(each) for each in [*others, folder][-_MAX_PROJECTS:]], fresh)
        Path(fresh.name).replace(path)


def _read() -> list[Path]:
    try:
        found = json.loads(index_file().read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [Path(each) for each in found if isinstance(each, str)] if isinstance(found, list) else []


# The folder of a project


_chosen: ContextVar[Path | None] = ContextVar("project", default=None)


@contextlib.contextmanager
def chosen_project(folder: Path) -> Iterator[None]:
    """Make `project_folder` start at a folder instead of the working folder, while the context lasts.

    Args:
        folder: the one that the user named (``cloudtune -C FOLDER``).
    """
    token = _chosen.set(folder)
    try:
        yield
    finally:
        _chosen.reset(token)


def project_folder(start: Path | None = None) -> Path:
    """Return the nearest folder upward with a ``cloudtune.toml`` or a ``.cloudtune``; the starting folder if none has.

    Args:
        start: None for the folder that the user named, or else the working folder.
    """
    origin = (start or _chosen.get() or Path.cwd()).resolve()
    for folder in (origin, *origin.parents):
        if (folder / FILE).is_file() or (folder / STORE).is_dir():
            return folder
    return origin
