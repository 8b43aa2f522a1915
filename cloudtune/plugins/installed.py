"""Cached entry points of the installed packages; read again when a package is installed or removed."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib import metadata


def entry_points(*, group: str) -> metadata.EntryPoints:
    """Return the entry points of a group, without importing the plug-ins.

    `importlib.metadata.entry_points` reads a file of every installed package at each call, some hundreds in an
    environment with a service's SDK. This function reads them again only when a folder of ``sys.path`` has changed.
    """
    return _read(group, tuple(_changes()))


@lru_cache(maxsize=16)
def _read(group: str, changes: tuple[tuple[str, int], ...]) -> metadata.EntryPoints:
    found: metadata.EntryPoints = _of_all_groups(changes).select(group=group)
    return found


@lru_cache(maxsize=1)
def _of_all_groups(_changes: tuple[tuple[str, int], ...]) -> Any:  # has `select`; of which class, varies with Python
    """Return the entry points of all groups, since reading those of one takes as long."""
    from importlib import metadata  # noqa: PLC0415  # loads parsers of mail and archives

    return metadata.entry_points()


def _changes() -> list[tuple[str, int]]:
    """Return the entries of ``sys.path`` with their modification times in nanoseconds since 1970 (0 if missing)."""
    found = []
    for place in sys.path:
        try:
            found.append((place, os.stat(place or ".").st_mtime_ns))  # noqa: PTH116  # faster than Path
        except OSError:
            found.append((place, 0))
    return found
