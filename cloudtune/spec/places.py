"""Distinguish the places that a spec names: folders and files of this machine, and URLs."""

import os
import re

_FILE = "file://"
_DRIVE = re.compile(r"/[A-Za-z]:(?:/|$)")
_SCHEME = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+:(?!\\)")


def is_remote(place: str) -> bool:
    """Return whether a place is a URL and not a path of this machine."""
    return "://" in place and not place.startswith(_FILE)


def is_local(place: str) -> bool:
    """Return whether a place is a path of this machine: it begins with no scheme, such as ``s3://`` or ``azureml:``."""
    return not is_remote(place) and _SCHEME.match(place) is None


def local_path(place: str, *, windows: bool = os.name == "nt") -> str:
    """Return the path of a place of this machine, which may be written as a ``file://`` URL.

    Args:
        place: the path or URL.
        windows: whether paths may begin with a drive, as in ``file:///C:/data``.
    """
    path = place.removeprefix(_FILE)
    return path[1:] if windows and path != place and _DRIVE.match(path) else path


def bucket_of(place: str | None, scheme: str) -> str | None:
    """Return the bucket of a place in cloud storage, such as ``s3://BUCKET/FOLDER``; None for another place.

    Args:
        place: a URL or path.
        scheme: of the storage, e.g. ``s3``.
    """
    if place is None or not place.startswith(f"{scheme}://"):
        return None
    return place.removeprefix(f"{scheme}://").partition("/")[0] or None
