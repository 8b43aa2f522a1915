"""Completion indexes of indexed jobs as the API writes them, e.g. ``0-3,7`` (k8s.io/kubernetes/pkg/controller/job)."""

from collections.abc import Iterable


def parsed(text: str) -> set[int]:
    """Return the indexes of a text."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def written(indexes: Iterable[int]) -> str:
    """Return indexes as a text: three or more in a row as a range."""
    ordered, parts = sorted(set(indexes)), []
    at = 0
    while at < len(ordered):
        end = at
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        if end - at >= 2:
            parts.append(f"{ordered[at]}-{ordered[end]}")
        else:
            parts += [str(each) for each in ordered[at : end + 1]]
        at = end + 1
    return ",".join(parts)
