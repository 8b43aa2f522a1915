"""Mapping from container images to local programs, since emulators run without Docker."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

_NONE: Mapping[str, str | Sequence[str]] = MappingProxyType({})


class Images:
    """The programs that a user of the emulator configured for images.

    Args:
        programs: programs by image address, shell pattern (``*/xgboost:*``) or name of an algorithm; the first match
            counts. A program is a shell line, which gets the container's arguments in ``"$@"``, or a program with its
            first arguments, to which the container's are appended.
    """

    def __init__(self, programs: Mapping[str, str | Sequence[str]] = _NONE) -> None:
        self._programs = dict(programs)

    def program(self, image: str) -> list[str] | None:
        """Return the command to execute for an image; None if none is configured."""
        for pattern, program in self._programs.items():
            if image == pattern or fnmatchcase(image, pattern):
                return ["/bin/sh", "-c", program, "image"] if isinstance(program, str) else list(program)
        return None
