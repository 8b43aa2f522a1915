"""Accelerators as clusters know them: a resource that a container asks for, and labels of the nodes that have a kind of it."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from cloudtune.errors import suggest
from cloudtune.machines.accelerators import neutral


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator of a cluster.

    Attributes:
        resource: what a container asks for, e.g. ``nvidia.com/gpu``.
        labels: of the nodes that have this kind, by the ways of labelling, any of which a cluster may have; none for any node.
    """

    resource: str
    labels: tuple[tuple[str, str], ...] = ()


@cache
def devices() -> dict[str, Device]:
    """Return the known ones by the neutral names of their kinds, or a word for any of a maker (``accelerators.csv``)."""
    text = files(__package__).joinpath("accelerators.csv").read_text("utf-8")
    found: dict[str, Device] = {}
    for row in csv.DictReader(text.splitlines()):
        known = found.get(row["kind"], Device(row["resource"]))
        labels = ((row["label"], row["value"]),) if row["label"] else ()
        found[row["kind"]] = Device(known.resource, (*known.labels, *labels))
    return found


def device(word: str) -> Device:
    """Return the accelerator that a job means.

    Args:
        word: any spelling of a kind's name, a word for any of a maker (``gpu``, ``amd``), or a resource such as
            ``nvidia.com/mig-1g.5gb``.

    Raises:
        ValueError: there is no such accelerator; says the nearest.
    """
    if "/" in word:
        return Device(word)
    known = devices()
    found = known.get(word.lower()) or known.get(neutral(word) or "")
    if found is None:
        raise ValueError(
            f"{word!r} is no accelerator whose nodes are known; {suggest(word, known)}; or name the resource, such as nvidia.com/gpu, "
            "and its nodes by kubernetes: {spec: {nodeSelector: …}}"
        )
    return found
