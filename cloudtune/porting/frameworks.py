"""Images of well-known frameworks by a name that means the same on every service: ``pytorch:2.4``, ``sklearn:1.5``."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar, Literal, Self

FRAMEWORKS = ("pytorch", "tensorflow", "sklearn", "xgboost", "lightgbm", "mxnet", "python")
"""Names of frameworks. Which of them a service has an image of, its own table says."""

_OTHER_NAMES = {"torch": "pytorch", "tf": "tensorflow", "scikit-learn": "sklearn"}
_NAME = re.compile(r"([a-z][a-z-]*):(\d+(?:\.\d+)*)")

Hardware = Literal["cpu", "gpu", "any"]


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework in a version.

    Attributes:
        name: one of `FRAMEWORKS`.
        version: numbers with dots between them, as exact as it was said: ``2.4`` is any 2.4.x.
    """

    name: str
    version: str

    @classmethod
    def parse(cls, image: str) -> Self | None:
        """Return the framework that a neutral name says; None for every other image."""
        found = _NAME.fullmatch(image)
        name = _OTHER_NAMES.get(found[1], found[1]) if found is not None else ""
        return cls(name, found[2]) if found is not None and name in FRAMEWORKS else None

    @classmethod
    def slip(cls, image: str) -> str | None:
        """Return the framework that was probably meant by an image of a similar name; None for every other image."""
        found = _NAME.fullmatch(image)
        if found is None or cls.parse(image) is not None:
            return None
        near = get_close_matches(found[1], (*FRAMEWORKS, *_OTHER_NAMES), n=1, cutoff=0.8)
        return f"{near[0]}:{found[2]}" if near else None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers."""
        return numbers_of(self.version)

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


def numbers_of(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, e.g. (1, 7, 1) for ``1.7-1``."""
    return tuple(map(int, re.findall(r"\d+", re.split(r"[^\d.-]", version, maxsplit=1)[0])))


@dataclass(frozen=True, slots=True)
class FrameworkImage:
    """An image of a service that has a framework.

    Attributes:
        framework: the framework's name.
        version: of the framework, as the service writes it.
        hardware: what it is built for.
        address: as a job of the service names it.
        source: where this is known from.
        remark: what else to know of it; "" for nothing.
    """

    framework: str
    version: str
    hardware: Hardware
    address: str
    source: str
    remark: str = ""

    @property
    def minor(self) -> Framework:
        """The framework in this version without the patch."""
        return Framework(self.framework, ".".join(map(str, numbers_of(self.version)[:2])))


class NoImage(LookupError):
    """A service has no such image; the message says which it has. `near` is the nearest of the same framework."""

    def __init__(self, message: str, near: FrameworkImage | None = None) -> None:
        super().__init__(message)
        self.near = near


class NoRegion(LookupError):
    """A service has its images in another registry in each region, and no region is known."""


class FrameworkImages(ABC):
    """The images of one service."""

    service: ClassVar[str]
    """What messages call the service."""

    @abstractmethod
    def rows(self, region: str | None) -> Sequence[FrameworkImage]:
        """Return all images of frameworks; of one version the older first.

        Raises:
            NoRegion: the service needs a region to know.
        """

    @abstractmethod
    def recognise(self, address: str) -> Framework | None:
        """Return the framework in an image of the service, in whatever region; None for every other image."""

    def algorithm(self, address: str) -> str | None:  # noqa: ARG002  # few services have algorithms of their own
        """Return the name of the service's own algorithm in an image; None for every other image."""
        return None

    def find(self, wanted: Framework, region: str | None, *, gpu: bool) -> FrameworkImage:
        """Return the newest image of a framework in a version, built for the hardware where there is one.

        Args:
            wanted: the framework.
            region: of the jobs; None for an unknown one.
            gpu: whether trials have a GPU.

        Raises:
            NoImage: there is none.
            NoRegion: the service needs a region to know.
        """
        own = [row for row in self.rows(region) if row.framework == wanted.name]
        if not own:
            names = ", ".join(dict.fromkeys(row.framework for row in self.rows(region)))
            raise NoImage(f"{self.service} has no image of {wanted.name}; it has: {names}")
        count = len(wanted.numbers)
        found = [row for row in own if numbers_of(row.version)[:count] == wanted.numbers]
        if found:
            return _best(found, gpu=gpu)
        near = _best(_nearest(own, wanted), gpu=gpu)
        versions = ", ".join(dict.fromkeys(row.minor.version for row in own))
        message = f"{self.service} has no image of {wanted}; the nearest is {near.minor} (it has {versions})"
        raise NoImage(message, near)


def _best(rows: Iterable[FrameworkImage], *, gpu: bool) -> FrameworkImage:
    wanted = "gpu" if gpu else "cpu"
    fit = {wanted: 2, "any": 1}
    newest_first = reversed(list(rows))  # of two of the same version the later is the newer
    return max(newest_first, key=lambda row: (numbers_of(row.version), fit.get(row.hardware, 0)))


def _nearest(rows: Sequence[FrameworkImage], wanted: Framework) -> list[FrameworkImage]:
    """Return the images of the version that is nearest to the wanted one; of two as near, the newer."""
    sought = _place(wanted.numbers)
    best = min(rows, key=lambda row: (abs(_place(numbers_of(row.version)) - sought), -_place(numbers_of(row.version))))
    return [row for row in rows if numbers_of(row.version) == numbers_of(best.version)]


def _place(numbers: tuple[int, ...]) -> int:
    major, minor = (*numbers, 0, 0)[:2]
    return major * 1000 + minor
