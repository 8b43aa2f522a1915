"""Formats of other tools that a job can be made of, or be written in, beside the requests of providers.

A format is a class, found by its name like a provider. Those of other packages come through entry points of the group
``cloudtune.formats``:

    [project.entry-points."cloudtune.formats"]
    mytool = "mytool.cloudtune:MyToolFormat"
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cloudtune.errors import ConfigError
from cloudtune.plugins.entry_points import formats
from cloudtune.plugins.extras import install

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cloudtune.planning.plan import Note as Loss
    from cloudtune.space.parameters import Scalar
    from cloudtune.spec.job import TuningJob


@dataclass(frozen=True, slots=True)
class Note:
    """Something that means another thing in the job than it did where it came from, or nothing there at all.

    Attributes:
        path: where it stands in the source, e.g. ``spec.earlyStopping``; "" for the source as a whole.
        message: what became of it and, where there is something to do, what.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Imported:
    """A job that was made of something else.

    Attributes:
        job: the spec.
        notes: one for everything that the job does not say as the source did.
        trials: finished trials that the source tells of, each a row of a table for ``warm_start``: parameters and
            metrics by name.
    """

    job: "TuningJob"
    notes: tuple[Note, ...] = ()
    trials: tuple[Mapping[str, "Scalar"], ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """A job in another format.

    Attributes:
        data: plain data for YAML, with the values of the job's environment variables.
        notes: what is not carried as it stands; none of them is unsupported.
    """

    data: "JsonValue"
    notes: tuple["Loss", ...] = ()


class Format(ABC):
    """A format that jobs come from or go to."""

    name: ClassVar[str]
    """What the command line calls it."""

    summary: ClassVar[str]
    """What it is, in one line, and what is given for it."""

    @abstractmethod
    def read(self, source: str, *, study: str | None = None) -> Imported:
        """Makes a job of a source.

        Args:
            source: a file (``-`` for standard input), or what the format has in its place.
            study: which of several things in the source is meant, where it holds several.

        Raises:
            SpecError: the source is not of this format, or says what no job can; lists the places.
            ConfigError: the source cannot be found, or what reading it needs is not installed.
        """

    def recognises(self, data: Mapping[str, object]) -> bool:  # noqa: ARG002  # most are no data of files
        """Return whether a file's data is of this format, by what it alone has."""
        return False

    def write(self, job: "TuningJob") -> Exported:  # noqa: ARG002  # most are only read
        """Writes a job.

        Raises:
            UnsupportedError: the format cannot say something of the job; names the fields and what to do.
            ConfigError: there is no way to this format.
        """
        raise ConfigError(f"{self.name} can be imported only; `cloudtune export --to` takes providers and katib")


def load_format(name: str) -> Format:
    """A format by its name.

    Raises:
        ConfigError: there is no such format, or what it needs is not installed.
    """
    point = formats().get(name)
    if point is None:
        raise ConfigError(f"there is no format {name!r}; known are: {', '.join(formats())}")
    try:
        loaded: type[Format] = point.load()
    except ImportError as error:
        raise ConfigError(
            f"the format {name!r} needs {error.name or error}; install it with: {install(name)}"
        ) from error
    return loaded()
