"""Names and values within MLflow's limits (mlflow.utils.validation)."""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_REFUSED = re.compile(r"[^/\w.\- ]")  # a colon is refused on Windows, where the files of a run may be read
_LONGEST_NAME = 250
LONGEST_PARAM = 6000
"""Most characters of a parameter's value (MAX_PARAM_VAL_LENGTH)."""
LONGEST_TAG = 5000
"""Most characters of a tag's value: 8000 (MAX_TAG_VAL_LENGTH), and fewer in older servers."""
MOST_METRICS, MOST_PARAMS, MOST_TAGS = 800, 100, 100
"""Most entries of one call (MAX_PARAMS_TAGS_PER_BATCH; MAX_ENTITIES_PER_BATCH for all three together)."""

_Item = TypeVar("_Item")


class Names:
    """The mapping from names of metrics and parameters to names that MLflow accepts.

    Args:
        note: called with a message for each name that is changed.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._mapped: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """Return the name in MLflow; different names stay different."""
        if name not in self._mapped:
            self._mapped[name] = self._free(_acceptable(name))
            if self._mapped[name] != name:
                self._note(f"{name!r} is called {self._mapped[name]!r} in MLflow, which does not take that name")
        return self._mapped[name]

    def _free(self, name: str) -> str:
        taken, free, count = set(self._mapped.values()), name, 2
        while free in taken:
            free, count = f"{name[: _LONGEST_NAME - 4]}-{count}", count + 1
        return free


def _acceptable(name: str) -> str:
    """Return a name of characters that MLflow accepts, which as a relative path does not leave its folder."""
    clean = _REFUSED.sub("_", name)[:_LONGEST_NAME]
    if posixpath.normpath(clean) != clean or clean.startswith(("/", ".")):
        clean = clean.replace("/", "_").replace("..", "_")
    return clean if clean not in ("", ".") else "_"


def cut(text: str, longest: int) -> str:
    """Return a text cut to at most `longest` characters, with an ellipsis for the rest."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def batches(items: Sequence[_Item], most: int) -> Iterator[Sequence[_Item]]:
    """Return an iterator over slices of at most `most` items."""
    return (items[start : start + most] for start in range(0, len(items), most))
