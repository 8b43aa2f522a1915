"""What stands for a container image: a program of this machine, since the emulator has no Docker."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

_NONE: Mapping[str, str | Sequence[str]] = MappingProxyType({})


class Images:
    """The programs that the user of the emulator gave for images.

    Args:
        programs: by the image's address, or a pattern for it as of a shell (``*/xgboost:*``), or the name of an
            algorithm: a line for the shell, which finds the container's arguments in ``"$@"``, or a program and its
            first arguments, which the container's follow. The first pattern that fits counts.
    """

    def __init__(self, programs: Mapping[str, str | Sequence[str]] = _NONE) -> None:
        self._programs = dict(programs)

    def program(self, image: str) -> list[str] | None:
        """The words to execute for an image; None where nothing stands for it."""
        for pattern, program in self._programs.items():
            if image == pattern or fnmatchcase(image, pattern):
                return ["/bin/sh", "-c", program, "image"] if isinstance(program, str) else list(program)
        return None
