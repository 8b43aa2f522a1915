"""Names of accelerators that mean the same on every service, and other spellings of them."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from cloudtune.errors import suggest
from cloudtune.machines.machine import GIB, Accelerator


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of accelerator.

    Attributes:
        name: the neutral name.
        memory: of one, in bytes.
        maker: the company.
        aliases: other spellings: services' own, and common ones.
        also: kinds that have all it has and more, such as the same chip with more memory: they do in its place.
    """

    name: str
    memory: int
    maker: str
    aliases: tuple[str, ...]
    also: tuple[str, ...] = ()


@cache
def kinds() -> dict[str, Kind]:
    """Return the known kinds by their neutral names (``accelerators.csv``, from the makers' data sheets)."""
    text = files(__package__).joinpath("accelerators.csv").read_text("utf-8")
    rows = (
        Kind(row["kind"], int(row["memory_gib"]) * GIB, row["maker"], _several(row["aliases"]), _several(row["also"]))
        for row in csv.DictReader(text.splitlines())
    )
    return {kind.name: kind for kind in rows}


def _several(text: str) -> tuple[str, ...]:
    return tuple(text.split(";")) if text else ()


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


@cache
def _spellings() -> dict[str, str]:
    found: dict[str, str] = {}
    for kind in kinds().values():
        for spelling in (kind.name, *kind.aliases):
            found.setdefault(_plain(spelling), kind.name)
    return found


def neutral(word: str) -> str | None:
    """Return the neutral name of an accelerator by any spelling, whatever its case and dashes; None for one not known."""
    return _spellings().get(_plain(word))


def accelerator(word: str, count: float = 1) -> Accelerator:
    """Return accelerators by any spelling of their name.

    Args:
        word: such as ``A100`` or ``NVIDIA_TESLA_A100``.
        count: how many.

    Raises:
        ValueError: the name is not known; says the nearest.
    """
    name = neutral(word)
    if name is None:
        raise ValueError(f"there is no accelerator {word!r}; {suggest(word, kinds())}")
    return Accelerator(name, count, kinds()[name].memory)
