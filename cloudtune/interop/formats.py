"""The interface of formats of other tools from which jobs are imported or to which they are exported.

A format is a class that is loaded by name. Other packages add formats by entry points of the group
``cloudtune.formats``:

    [project.entry-points."cloudtune.formats"]
    mytool = "mytool.cloudtune:MyToolFormat"
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cloudtune.errors import ConfigError
from cloudtune.plugins.entry_points import FORMATS
from cloudtune.plugins.loading import load

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cloudtune.planning.plan import Note as Loss
    from cloudtune.space.parameters import Scalar
    from cloudtune.spec.job import TuningJob


@dataclass(frozen=True, slots=True)
class Note:
    """A note about a part of the source that has another meaning in the job, or none.

    Attributes:
        path: its path in the source, e.g. ``spec.earlyStopping``; "" for the source as a whole.
        message: what it became and, if needed, what the user should do.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Imported:
    """An imported job.

    Attributes:
        job: the spec.
        notes: a note for every difference between the job and the source.
        trials: the finished trials of the source, as rows of a table for ``warm_start``: parameters and metrics by
            name.
    """

    job: "TuningJob"
    notes: tuple[Note, ...] = ()
    trials: tuple[Mapping[str, "Scalar"], ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """A job in another format.

    Attributes:
        data: plain data for YAML, with the values of the job's environment variables.
        notes: the fields that are not carried exactly; none is unsupported.
    """

    data: "JsonValue"
    notes: tuple["Loss", ...] = ()


class Format(ABC):
    """The base class of formats."""

    name: ClassVar[str]
    """The format's name on the command line and as an entry point."""

    summary: ClassVar[str]
    """One line that describes the format and its source, for help texts."""

    is_step: ClassVar[bool] = False
    """Whether what `write` returns is a step of a pipeline."""

    @abstractmethod
    def read(self, source: str, *, study: str | None = None) -> Imported:
        """Convert a source to a job.

        Args:
            source: a file (``-`` for standard input), or another address that the format defines.
            study: the name of the study or experiment to read, if the source holds several.

        Returns:
            The job, with a note for every difference from the source.

        Raises:
            SpecError: the source is not of this format, or cannot be expressed as a job; lists the places.
            ConfigError: the source does not exist, or a package that reading it needs is not installed.
        """

    def recognises(self, data: Mapping[str, object]) -> bool:  # noqa: ARG002  # by default not recognised
        """Return whether the data of a file is of this format, by keys that only this format has."""
        return False

    def write(self, job: "TuningJob") -> Exported:  # noqa: ARG002  # by default not supported
        """Convert a job to this format.

        Raises:
            UnsupportedError: the format cannot express a field of the job; names the fields and what to do.
            ConfigError: the format can only be imported.
        """
        raise ConfigError(f"{self.name} can be imported only; `cloudtune export --to` takes providers and katib")


def load_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        ConfigError: there is no such format.
        PluginError: it cannot be loaded, or what it needs is not installed.
    """
    return load(FORMATS, name, Format)()  # type: ignore[type-abstract]
