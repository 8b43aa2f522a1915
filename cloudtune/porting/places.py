"""Places that hold the same data: what ``[places]`` in ``cloudtune.toml`` says."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.plugins.entry_points import DEFAULT
from cloudtune.spec.places import is_local, local_path

if TYPE_CHECKING:
    from cloudtune.porting.words import ServiceWords


@dataclass(frozen=True, slots=True)
class Place:
    """One place, and where the same data lies on services.

    Attributes:
        key: the place as the config names it; a folder of this machine is absolute.
        elsewhere: places by provider; that of ``local`` is an absolute path of this machine.
    """

    key: str
    elsewhere: Mapping[str, str]

    def all(self) -> Iterator[str]:
        """Yield every name of the place, each of which is a key to the others."""
        yield self.key
        yield from self.elsewhere.values()

    def on(self, words: "ServiceWords") -> str | None:
        """Return where it lies on a service; None where that is not said."""
        said = self.elsewhere.get(words.provider)
        return said or next((each for each in self.all() if words.writes(each)), None)


class Places:
    """The places of all config files; the longest that a text begins with counts.

    Args:
        places: those of nearer files last; they take precedence.
    """

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self._known = {place.key: place for place in places}

    def __bool__(self) -> bool:
        return bool(self._known)

    def on(self, words: "ServiceWords", place: str, base: Path | None = None) -> str | None:
        """Return where the data of a place lies on a service.

        Args:
            words: of the service.
            place: a URL, or a path of this machine.
            base: what a relative path is relative to; None for the working folder.

        Returns:
            The place there, with what `place` has below the known one; None where nothing is said.
        """
        sought = absolute(local_path(place), base) if is_local(place) else without_query(place)
        found = [
            (len(name), f"{there.rstrip('/')}{sought[len(name) :]}")
            for known in reversed(self._known.values())
            for name in (each.rstrip("/") for each in known.all())
            if (sought == name or sought.startswith(f"{name}/")) and (there := known.on(words)) is not None
        ]
        return max(found, key=lambda each: each[0])[1] if found else None

    def of_service(self, words: "ServiceWords") -> list[str]:
        """Return the places on a service, each once."""
        found = (known.on(words) for known in self._known.values())
        return list(dict.fromkeys(place for place in found if place is not None))

    def mounts(self) -> dict[str, Path]:
        """Return the folders of this machine by the places in the cloud that hold the same."""
        return {
            name.rstrip("/"): Path(known.elsewhere[DEFAULT])
            for known in self._known.values()
            if DEFAULT in known.elsewhere
            for name in known.all()
            if not is_local(name)
        }


def without_query(place: str) -> str:
    """Return a place without the query of its URL, which holds a signature, if anything."""
    return place if is_local(place) else place.partition("?")[0]


def absolute(path: str, base: Path | None = None) -> str:
    """Return a path of this machine as an absolute one, without looking at any file.

    Args:
        path: may be relative, or begin with ``~``.
        base: what it is relative to; None for the working folder.
    """
    return os.path.normpath((base or Path()).absolute() / Path(path).expanduser())
