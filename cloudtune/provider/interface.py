"""What a provider is, and how providers are found.

A provider is a class in anyone's package, found through an entry point of the group ``cloudtune.providers``:

    [project.entry-points."cloudtune.providers"]
    mycluster = "cloudtune_mycluster:MyClusterProvider"

`cloudtune.testing.ProviderConformance` tells its author when it is done.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cloudtune.errors import ConfigError, RunNotFound, TrialError
from cloudtune.errors.masking import masked_text
from cloudtune.plugins.entry_points import DEFAULT, providers
from cloudtune.plugins.extras import install_provider
from cloudtune.results.progress import Watcher
from cloudtune.store.records import RunState

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pydantic import JsonValue

    from cloudtune.bundle.survey import Survey, Where
    from cloudtune.errors import Problem
    from cloudtune.planning.plan import Plan, Support
    from cloudtune.porting import Adapted
    from cloudtune.porting.tables import Tables
    from cloudtune.porting.words import ServiceWords
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `check` looked at.

    Attributes:
        subject: what was looked at, e.g. ``credentials``.
        ok: whether it is as it should be; None for something worth knowing that is neither.
        message: what was found and, where it is not ok, what to do.
    """

    subject: str
    ok: bool | None
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", masked_text(self.message))


class Provider(ABC):
    """Runs tuning jobs somewhere.

    Args:
        settings: what the profile says, apart from the provider's name.
        mounts: folders of this machine that stand for places in the cloud where trials run here.
    """

    name: ClassVar[str]
    """The name of the entry point, and of the job's field with native settings."""

    summary: ClassVar[str]
    """What it is, in one line."""

    emulated: ClassVar[bool] = False
    """Whether there is an emulator of it."""

    native_format: ClassVar[Literal["json", "yaml"]] = "json"
    """How the service's own tools write its requests."""

    support: ClassVar[Mapping[str, "tuple[Support, str]"]]
    """What the provider does with each field of the spec: a path (``*`` for any key) → support and a remark.

    The plan's notes, the README's matrix and the errors all come from this table.
    """

    words: "ClassVar[ServiceWords | None]" = None
    """How the service writes places, images and identities; None where a job is taken as it is written."""

    tables: "Tables | None" = None
    """What the config says of the same things on other services; None for nothing."""

    def __init__(self, settings: Mapping[str, Any], mounts: "Mapping[str, Path] | None" = None) -> None:
        self.settings = settings
        self.mounts = mounts or {}

    @property
    def away(self) -> bool:
        """Whether trials run elsewhere than their driver, so that the driver may run anywhere."""
        return False

    def emulators(self) -> "Mapping[str, str]":
        """Return the addresses of emulators that runs would go to instead of services, by the provider's or profile's name."""
        return {}

    def addresses(self) -> "Mapping[str, str]":
        """Return the addresses of the services that it asks, as far as they are known without asking, by the service's name.

        Whether they answer at all is tried before a run is looked at.
        """
        return {}

    def adapt(self, job: "TuningJob") -> "Adapted":
        """Return a job in the words of this service, by the tables of the config. Pure, as `plan` is."""
        from cloudtune.porting import Adapted, adapt  # noqa: PLC0415  # reading a run needs none of it
        from cloudtune.porting.tables import Tables  # noqa: PLC0415

        if self.words is None:
            return Adapted(job)
        return adapt(job, self.words, self.tables or Tables(settings=self.settings))

    @abstractmethod
    def plan(self, job: "TuningJob") -> "Plan":
        """Return what will be sent for a job and what it means there. Pure: no network, no credentials, no files.

        The job is in this service's words already: see `adapt`, and `cloudtune.provider.preparing.planned`.

        An unsupported field is a note of the plan, not an exception.
        """

    def to_native(self, job: "TuningJob") -> "JsonValue":  # noqa: ARG002  # none here
        """Return the service's own request for a job, as data for JSON.

        Raises:
            UnsupportedError: the provider cannot run the job as it stands.
            ConfigError: the provider has no requests of its own.
        """
        raise ConfigError(f"{self.name} has no requests of its own")

    def to_launch(self, job: "TuningJob", base: "Path", folder: "Path") -> "JsonValue":  # noqa: ARG002  # none here
        """Return the service's own request for a job, which other tools can launch as it stands: code and data are uploaded.

        Args:
            job: the spec.
            base: what its paths are relative to.
            folder: where the request will lie; what those tools upload themselves is put there, too.

        Raises:
            UnsupportedError: the provider cannot run the job as it stands.
            ConfigError: the provider has no requests of its own.
            ProviderError: the service refused the uploads, or cannot be reached.
        """
        raise ConfigError(f"{self.name} has no requests of its own")

    @classmethod
    def from_native(cls, data: object, folder: "Path | None" = None) -> "TuningJob":  # noqa: ARG003  # none here
        """Return the spec of one of the service's own requests; nothing is lost.

        Args:
            data: of its JSON or YAML.
            folder: what further files that it names are relative to; None for the working directory.

        Raises:
            SpecError: it is no such request; says where in it.
            ConfigError: the provider has no requests of its own.
        """
        raise ConfigError(f"{cls.name} has no requests of its own to import")

    @classmethod
    def with_legal_names(cls, data: object, folder: "Path | None" = None) -> "tuple[object, Mapping[str, str]]":  # noqa: ARG003  # none here
        """Return a request whose parameters have names that a spec may have, and the new names by the old ones.

        Names that are legal stay; the new ones are those of `cloudtune.interop.legal_names`. Conditions, commands and
        all else that names a parameter are changed, too.

        Args:
            data: as `from_native` takes it.
            folder: as `from_native` takes it.

        Raises:
            SpecError: it is no such request; says where in it.
        """
        return data, {}

    @classmethod
    def recognises(cls, data: Mapping[str, object]) -> bool:  # noqa: ARG003  # none here
        """Return whether a file's data is a request that `from_native` is for, by what it alone has."""
        return False

    @abstractmethod
    def check(self) -> list[Finding]:
        """Return what a run needs here and whether it is there: credentials, permissions, quotas, programs."""

    def where(self, job: "TuningJob") -> "Where":
        """Return where the job's trials run, as far as their files are concerned."""
        from cloudtune.bundle.shipment import local_data  # noqa: PLC0415
        from cloudtune.bundle.survey import Where  # noqa: PLC0415  # reading a run looks at no files

        return Where(remote=self.away, inputs=local_data(job, self.name))

    def survey(self, job: "TuningJob", base: "Path", *, pickled: bool = False) -> "Survey":
        """Look at the job's own files: code and data. Executes nothing, and needs no network and no credentials.

        Args:
            job: the spec.
            base: what its paths are relative to.
            pickled: whether the function comes by itself, without its module.
        """
        from cloudtune.bundle.survey import survey  # noqa: PLC0415

        return survey(job, base, replace(self.where(job), pickled=pickled))

    def verify(self, job: "TuningJob", base: "Path") -> "list[Problem]":  # noqa: ARG002  # most have nothing to verify
        """Return what else keeps the job from running here; of its files `survey` tells. Paths are relative to `base`."""
        return []

    def prepare(self, run: "RunStore", job: "TuningJob") -> None:  # noqa: B027  # most have nothing to prepare
        """Keep what a later start or resume needs besides the store: the job comes with its secrets only here."""

    @classmethod
    def emulator(cls, mounts: "Mapping[str, Path]") -> "AbstractContextManager[Mapping[str, str]]":  # noqa: ARG003
        """Return an emulator of the service on this machine, for as long as the context lasts.

        Gives the environment variables by which this provider, and any other client of the service, finds it.

        Args:
            mounts: folders whose files are found at places of the emulated storage.

        Raises:
            ConfigError: there is none, or what it needs is not installed.
        """
        raise ConfigError(f"there is no emulator of {cls.name}; run with: --on {DEFAULT}")

    @abstractmethod
    def start(self, run: "RunStore") -> None:
        """Make the run go on without this process. Doing it twice, or after a lost answer, makes one job.

        Raises:
            ProviderError: the provider did not take the job.
        """

    @abstractmethod
    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        """Bring the run forward, or watch it, until it ends; keep the store up to date meanwhile.

        A KeyboardInterrupt (SIGINT) leaves the run resumable.

        Returns:
            An ended state, or INTERRUPTED.
        """

    @abstractmethod
    def refresh(self, run: "RunStore") -> None:
        """Bring the store up to date, once and quickly."""

    @abstractmethod
    def cancel(self, run: "RunStore") -> None:
        """Ask the run to end now. Return when that is known, not when it is carried out."""

    @abstractmethod
    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        """Return the lines that a trial printed; with `follow` also those to come, until it ends.

        Raises:
            TrialError: there is no such trial, or it has no log.
        """

    def fetch(self, run: "RunStore", number: int, target: "Path") -> "list[Path]":  # noqa: ARG002  # none here
        """Copy what a trial left (its model, its outputs) into a folder, and return the files.

        Raises:
            TrialError: there is no such trial, or it left nothing.
        """
        raise TrialError(f"{self.name} keeps no files of trials")

    def find(self, name: str) -> "tuple[TuningJob, Mapping[str, str]]":
        """Return a job that this provider runs already, by the service's own name for it.

        Returns:
            The spec, and what the run's record keeps of the service (`RunRecord.native`).

        Raises:
            RunNotFound: the service has no such job.
        """
        raise RunNotFound(f"{self.name} keeps no runs but those in the store; `cloudtune ls` lists them, not {name!r}")

    def resume(self, run: "RunStore") -> None:
        """Make an interrupted run ready to go on; what follows is `start` or `follow`."""
        self.refresh(run)


def load_provider(name: str) -> type[Provider]:
    """Return the class of a provider.

    Raises:
        ConfigError: there is no such provider, or what it needs is not installed.
    """
    point = providers().get(name)
    if point is None:
        known = ", ".join(sorted(providers()))
        raise ConfigError(f"there is no provider {name!r}; installed are: {known}")
    try:
        loaded: type[Provider] = point.load()
    except ImportError as error:
        raise ConfigError(
            f"the provider {name!r} needs {error.name or error}; install it with: {install_provider(name)}"
        ) from error
    return loaded
