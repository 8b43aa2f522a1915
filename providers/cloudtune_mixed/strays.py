"""Attempts that may still run on a profile that could not be reached; they are stopped as soon as it can."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

from cloudtune.store.records import Trial

_Stray = tuple[int, int, str]
"""Number, attempt, and the profile's name of the place."""


class Strays:
    """Records stray attempts in a file, so that a later driver of the run stops them, too.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "strays.json"
        self._lock = threading.Lock()

    def add(self, profile: str, trial: Trial) -> None:
        """Record an attempt that may run on a profile, before it is restarted on another."""
        with self._lock:
            found = self._read()
            found.setdefault(profile, []).append((trial.number, trial.attempt, trial.place))
            self._write(found)

    def remove(self, profile: str, trial: Trial) -> None:
        """Remove an attempt that was stopped, or did not run."""
        with self._lock:
            found = self._read()
            found[profile].remove((trial.number, trial.attempt, trial.place))
            self._write({name: left for name, left in found.items() if left})

    def of(self, profile: str) -> list[Trial]:
        """Return the attempts that may still run on a profile."""
        with self._lock:
            found = self._read().get(profile, [])
        return [Trial(number, {}, attempt=attempt, place=place) for number, attempt, place in found]

    def all(self) -> Iterator[tuple[str, str]]:
        """Yield the profile and the place of each attempt that may still run."""
        with self._lock:
            found = self._read()
        return ((profile, place) for profile, left in found.items() for _, _, place in left)

    def _read(self) -> dict[str, list[_Stray]]:
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return {
            profile: [(number, attempt, place) for number, attempt, place in left] for profile, left in found.items()
        }

    def _write(self, found: dict[str, list[_Stray]]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(found), "utf-8")
        fresh.replace(self._path)
