"""Where the YAML of a job says what a problem that was found later is about."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import Problem

if TYPE_CHECKING:
    from cloudtune.spec.text.building import Node, Place


def with_lines(problems: Iterable[Problem], file: Path) -> list[Problem]:
    """Return problems with their lines and columns in a job's file, where their paths are written there.

    Args:
        problems: such as what a provider refuses, with paths of the spec.
        file: the job's YAML, which was read before.
    """
    from cloudtune.spec.text.reading import read_file, read_yaml  # noqa: PLC0415  # only after a mistake

    node, _ = read_yaml(read_file(file), str(file))
    found = ((problem, _place(problem.path, node)) for problem in problems)
    return [
        problem if place is None else replace(problem, line=place.line, column=place.column) for problem, place in found
    ]


def _place(path: str, node: "Node") -> "Place | None":
    """Return where the last key of a path stands, as of ``kubernetes.spec.containers[0].image``; None where it is not written."""
    place, rest = None, path
    while rest:
        steps = [(f"[{key}]" if isinstance(key, int) else key, key) for key in node.children]
        fitting = [each for each in steps if rest == each[0] or rest.startswith((f"{each[0]}.", f"{each[0]}["))]
        if not fitting:
            return None
        said, key = max(fitting, key=lambda each: len(each[0]))
        node, keys = node.children[key], node.keys
        place = keys[key] if isinstance(key, str) and key in keys else node.place
        rest = rest[len(said) :].removeprefix(".")
    return place
