"""Studies of Vertex AI Vizier: made, found, listed and deleted, and the trials of each.

https://cloud.google.com/vertex-ai/docs/reference/rpc/google.cloud.aiplatform.v1#vizierservice; suggestions and stopping
rules are cloudtune's own.
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from cloudtune_vertex.emulator.errors import Refused, not_found
from cloudtune_vertex.emulator.model import Message, plain
from cloudtune_vertex.emulator.paging import page_of
from cloudtune_vertex.emulator.rules import check_study
from cloudtune_vertex.emulator.study import Study

_PARENT = re.compile(r"projects/[^/]+/locations/[^/]+")

R = TypeVar("R")


class Studies:
    """The studies of all projects and locations.

    Args:
        seed: of their searches; None for any.
    """

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._lock = threading.RLock()
        self._studies: dict[str, Study] = {}
        self._last = time.time_ns() // 1000

    def create(self, parent: str, message: Message) -> dict[str, Any]:
        """Make a study, and return it in JSON.

        Args:
            parent: ``projects/P/locations/L``.
            message: the Study, of protobuf.

        Raises:
            Refused: the message is not valid, or there is a study of this display name.
        """
        if not _PARENT.fullmatch(parent):
            raise Refused("INVALID_ARGUMENT", f"The parent {parent!r} is not projects/PROJECT/locations/LOCATION")
        check_study(message)
        with self._lock:
            if self._named(parent, message.display_name) is not None:
                raise Refused("ALREADY_EXISTS", f"There is a Study with the display name {message.display_name!r}.")
            self._last += 1
            name = f"{parent}/studies/{self._last}"
            study = self._studies[name] = Study(plain(message), message.study_spec, name, self._seed)
            return study.message()

    def look_up(self, parent: str, display_name: str) -> dict[str, Any]:
        """Return the study of a display name in JSON.

        Raises:
            Refused: there is none.
        """
        with self._lock:
            found = self._named(parent, display_name)
            if found is None:
                raise Refused("NOT_FOUND", f"There is no Study with the display name {display_name!r} in {parent}.")
            return found.message()

    def _named(self, parent: str, display_name: str) -> Study | None:
        prefix = f"{parent}/studies/"
        studies = (study for name, study in self._studies.items() if name.startswith(prefix))
        return next((study for study in studies if study.display_name == display_name), None)

    def get(self, name: str) -> dict[str, Any]:
        """Return a study in JSON.

        Raises:
            Refused: there is none.
        """
        return self.within(name, Study.message)

    def list(self, parent: str, size: int, token: str) -> tuple[list[dict[str, Any]], str]:
        """Return a page of the studies of a location, the newest first; see `page_of`."""
        with self._lock:
            found = [study for name, study in reversed(self._studies.items()) if name.startswith(f"{parent}/studies/")]
            return page_of([study.message() for study in found], size, token)

    def delete(self, name: str) -> None:
        """Forget a study with its trials.

        Raises:
            Refused: there is none.
        """
        with self._lock:
            self._existing(name)
            del self._studies[name]

    def within(self, name: str, do: Callable[[Study], R]) -> R:
        """Return what something does with a study, while nothing else changes it.

        Args:
            name: of the study, or of one of its trials.
            do: what is done.

        Raises:
            Refused: there is no such study.
        """
        with self._lock:
            study = self._existing(name.partition("/trials/")[0])
        with study.lock:
            return do(study)

    def _existing(self, name: str) -> Study:
        found = self._studies.get(name)
        if found is None:
            raise not_found("Study", name)
        return found
