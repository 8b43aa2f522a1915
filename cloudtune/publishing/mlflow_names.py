"""Names and values as MLflow takes them (mlflow.utils.validation)."""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_REFUSED = re.compile(r"[^/\w.\- ]")  # a colon is refused on Windows only, where the files of a run may be read
_LONGEST_NAME = 250
LONGEST_PARAM = 6000
"""Characters of a parameter's value (MAX_PARAM_VAL_LENGTH)."""
LONGEST_TAG = 5000
"""Characters of a tag's value: 8000 (MAX_TAG_VAL_LENGTH), and fewer in older servers."""
MOST_METRICS, MOST_PARAMS, MOST_TAGS = 800, 100, 100
"""Entries of one call (MAX_PARAMS_TAGS_PER_BATCH; MAX_ENTITIES_PER_BATCH for all three together)."""

_Item = TypeVar("_Item")


class Names:
    """What names are called in MLflow: as they are, but for characters that it refuses.

    Args:
        note: is told of each name that is another there.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The name in MLflow; two different names have different ones there."""
        if name not in self._known:
            self._known[name] = self._free(_acceptable(name))
            if self._known[name] != name:
                self._note(f"{name!r} is called {self._known[name]!r} in MLflow, which does not take that name")
        return self._known[name]

    def _free(self, name: str) -> str:
        taken, free, count = set(self._known.values()), name, 2
        while free in taken:
            free, count = f"{name[: _LONGEST_NAME - 4]}-{count}", count + 1
        return free


def _acceptable(name: str) -> str:
    """A name of characters that MLflow takes, which means no other place when it is read as the path of a file."""
    clean = _REFUSED.sub("_", name)[:_LONGEST_NAME]
    if posixpath.normpath(clean) != clean or clean.startswith(("/", ".")):
        clean = clean.replace("/", "_").replace("..", "_")
    return clean if clean not in ("", ".") else "_"


def cut(text: str, longest: int) -> str:
    """A text of at most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def batches(items: Sequence[_Item], most: int) -> Iterator[Sequence[_Item]]:
    """The items in runs of at most so many."""
    return (items[start : start + most] for start in range(0, len(items), most))
