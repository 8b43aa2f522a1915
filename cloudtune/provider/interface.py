"""The interface of providers, and how providers are found.

A provider is a class of any installed package, found through an entry point of the group ``cloudtune.providers``:

    [project.entry-points."cloudtune.providers"]
    mycluster = "cloudtune_mycluster:MyClusterProvider"

`cloudtune.testing.ProviderConformance` is the test suite of this interface.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from cloudtune.errors import ConfigError, ProviderError, RunNotFound, TrialError
from cloudtune.errors.masking import masked_text
from cloudtune.plugins.entry_points import PROVIDERS, rents_machines
from cloudtune.plugins.loading import load
from cloudtune.results.progress import Watcher
from cloudtune.store.commands import learning_from
from cloudtune.store.records import RunState

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pydantic import JsonValue

    from cloudtune.bundle.survey import Survey, Where
    from cloudtune.errors import Problem
    from cloudtune.machines.catalogue import Catalogue
    from cloudtune.planning.plan import Plan, Support
    from cloudtune.porting.adapted import Adapted
    from cloudtune.porting.tables import Tables
    from cloudtune.porting.words import ServiceWords
    from cloudtune.provider.answers import Listener
    from cloudtune.provider.permissions import Mode
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one of the checks of `Provider.check`.

    Attributes:
        subject: what was checked, e.g. ``credentials``.
        ok: whether the check passed; None for information that is neither.
        message: the result and, for a failed check, what to do.
    """

    subject: str
    ok: bool | None
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", masked_text(self.message))

    @classmethod
    def tried(cls, subject: str, look: "Callable[[], str]") -> Self:
        """Return what a look finds: the text that it returns, or why it cannot be done."""
        try:
            return cls(subject, ok=True, message=look())
        except (ConfigError, ProviderError) as error:
            return cls(subject, ok=False, message=str(error))


class Provider(ABC):
    """Runs tuning jobs somewhere.

    Args:
        settings: of the profile, without the provider's name.
        mounts: folders of this machine that replace places in the cloud, for trials that run on this machine.
    """

    name: ClassVar[str]
    """The name of the entry point, and of the job's field with native settings."""

    summary: ClassVar[str]
    """The description of the provider in one line."""

    native_format: ClassVar[Literal["json", "yaml"]] = "json"
    """The format in which the service's own tools write its requests."""

    policy_format: ClassVar[Literal["json", "yaml"]] = "json"
    """How the service's own tools read permissions."""

    support: ClassVar[Mapping[str, "tuple[Support, str]"]]
    """The support of each field of the spec: a path (``*`` for any key) → support and a remark.

    The source of the plan's notes, the documentation's table and the errors.
    """

    words: "ClassVar[ServiceWords | None]" = None
    """How the service writes places, images and identities; None if `adapt` changes no job."""

    tables: "Tables | None" = None
    """The config's tables of the same things on other services; None for none."""

    def __init__(self, settings: Mapping[str, Any], mounts: "Mapping[str, Path] | None" = None) -> None:
        self.settings = settings
        self.mounts = mounts or {}

    @property
    def away(self) -> bool:
        """Whether trials run elsewhere than their driver, so that the driver may run anywhere."""
        return False

    def unreachable_from(self, host: "Provider") -> str:  # noqa: ARG002  # most are reached from anywhere
        """Return why a driver that runs on `host` cannot launch trials there, though they run elsewhere; "" where it can."""
        return ""

    @property
    def settings_elsewhere(self) -> "Mapping[str, Any]":
        """The settings by which a driver elsewhere reaches the same: without what only this machine has, such as files."""
        return self.settings

    @property
    def keeps_appended(self) -> bool:
        """Whether what a trial has appended to a file of its outputs outlives its machine at once, as on a volume."""
        return False

    @property
    def drives_there(self) -> bool:
        """Whether nothing but a driver there can launch trials, so that each run has one without being asked."""
        return False

    def driver_host(self) -> "Provider":
        """Return the provider that runs drivers by this profile, as tuning jobs of one trial; see `cloudtune.remote`.

        The plan of such a job has to be managed.
        """
        return self

    def emulators(self) -> "Mapping[str, str]":
        """Return the addresses of emulators that replace services for new runs, by the provider's or profile's name."""
        return {}

    def addresses(self) -> "Mapping[str, str]":
        """Return the addresses of the services that it calls, by the service's name, as far as they are known without a call.

        Callers check that they answer before they call the service about a run.
        """
        return {}

    def region_of(self, job: "TuningJob") -> str | None:
        """Return the region of this service that a job names; None for none, or where there is none to choose."""
        if self.words is None or not self.words.has_regions or job.region is None:
            return None
        from cloudtune.porting.regions import named_region  # noqa: PLC0415  # few jobs name one

        return named_region(job, self.words)

    def in_region(self, region: str | None) -> Self:
        """Return this provider for another region than the profile's; itself for None."""
        if self.words is None or region is None:
            return self
        settings = {**self.settings, self.words.settings.get("region", "region"): region}
        made = type(self)(settings, self.mounts)
        made.tables = None if self.tables is None else self.tables.of_profile(self.tables.profile, settings)
        return made

    def adapt(self, job: "TuningJob") -> "Adapted":
        """Return a job in the words of this service, by the tables of the config. Pure, as `plan` is."""
        from cloudtune.porting.adapted import Adapted, without_region  # noqa: PLC0415  # reading a run needs none of it

        if self.words is None:
            return Adapted(*without_region(job))
        from cloudtune.porting.adapting import adapt  # noqa: PLC0415
        from cloudtune.porting.tables import Tables  # noqa: PLC0415

        return adapt(job, self.words, self.tables or Tables(settings=self.settings))

    def catalogue(self) -> "Catalogue":
        """Return the machines of this service, with what they cost the user."""
        from cloudtune.porting.tables import Tables  # noqa: PLC0415

        return (self.tables or Tables(settings=self.settings)).catalogue(self.name)

    def rated(self, plan: "Plan", job: "TuningJob") -> "Plan":
        """Return a plan with all machine types that trials may get, their prices, and notes on what needs these.

        Pure, but for price lists.

        Args:
            plan: of the job.
            job: in the words of the service.

        Raises:
            ConfigError: a config file's prices are not valid, or those that were fetched are damaged.
        """
        from cloudtune.spec.fields import alternatives  # noqa: PLC0415  # reading a run needs none of it

        if len(alternatives(job.compute.instance, plan.provider)) > 1:
            from cloudtune.planning.alternatives import with_alternatives  # noqa: PLC0415  # few jobs name several

            plan = with_alternatives(plan, job, self.support)
        needed = job.limits.cost is not None or job.cost_place is not None
        if not needed and not self._priced:
            return plan
        from cloudtune.costs.rating import rated  # noqa: PLC0415  # loads machines and prices, which this machine has not

        known = self.catalogue()
        return rated(plan, job, known, known.region_of(self.settings), away=self.away)

    @property
    def _priced(self) -> bool:
        """Whether anything may say what the machines cost: the provider's package, or the user."""
        return rents_machines(self.name) or (self.tables is not None and self.tables.own_prices)

    @abstractmethod
    def plan(self, job: "TuningJob") -> "Plan":
        """Return the request for a job, and notes about its fields. Pure: no network, no credentials, no files.

        An unsupported field is a note of the plan, not an exception.

        Args:
            job: as `adapt` returns it; see `cloudtune.provider.preparing.planned`.
        """

    def to_native(self, job: "TuningJob") -> "JsonValue":  # noqa: ARG002  # none here
        """Return the service's own request for a job, as data for JSON.

        Raises:
            UnsupportedError: the provider cannot run the job as it stands.
            ConfigError: the provider has no requests of its own.
        """
        raise ConfigError(f"{self.name} has no requests of its own")

    def to_launch(self, job: "TuningJob", base: "Path", folder: "Path") -> "JsonValue":  # noqa: ARG002  # none here
        """Return the service's own request for a job, uploaded so that other tools can launch it unchanged.

        Args:
            job: the spec.
            base: the folder that its paths are relative to.
            folder: of the request; files that those tools upload themselves are written there.

        Raises:
            UnsupportedError: the provider cannot run the job as it stands.
            ConfigError: the provider has no requests of its own.
            ProviderError: the service cannot be reached, or refuses the uploads.
        """
        raise ConfigError(f"{self.name} has no requests of its own")

    def to_step(self, job: "TuningJob", request: "JsonValue") -> "JsonValue":  # noqa: ARG002  # none here
        """Return a pipeline of the service's own with a tuning job as its only step, as data for `native_format`. Pure.

        Args:
            job: in the words of the service.
            request: of the job, as `to_native` or `to_launch` returns it.

        Raises:
            SpecError: the job cannot be a step.
            ConfigError: the service has no such steps.
        """
        raise ConfigError(
            f"{self.name} has no step for a tuning job in a pipeline of its own; `--to kubeflow --as step` makes a component that runs the job there"
        )

    @classmethod
    def from_native(cls, data: object, folder: "Path | None" = None) -> "TuningJob":  # noqa: ARG003  # none here
        """Return the spec of one of the service's own requests; what the spec has no field for becomes native settings.

        Args:
            data: the parsed JSON or YAML of the request.
            folder: that the files it names are relative to; None for the working directory.

        Raises:
            SpecError: the data is no such request; lists the places.
            ConfigError: the provider has no requests of its own.
        """
        raise ConfigError(f"{cls.name} has no requests of its own to import")

    @classmethod
    def with_legal_names(cls, data: object, folder: "Path | None" = None) -> "tuple[object, Mapping[str, str]]":  # noqa: ARG003  # none here
        """Return a request with parameter names that a spec allows, and the new names by the old ones.

        Legal names stay; the new ones come from `cloudtune.interop.legal_names`. All references to a parameter, as in
        conditions and commands, are renamed, too.

        Args:
            data: as for `from_native`.
            folder: as for `from_native`.

        Raises:
            SpecError: the data is no such request; lists the places.
        """
        return data, {}

    @classmethod
    def recognises(cls, data: Mapping[str, object]) -> bool:  # noqa: ARG003  # none here
        """Return whether data is a request for `from_native`, by keys that no other provider's or tool's data has."""
        return False

    @abstractmethod
    def check(self) -> list[Finding]:
        """Check what runs need: credentials, permissions, quotas, programs; return a finding for each.

        Failures are findings, not exceptions.
        """

    def policy(self, mode: "Mode | None" = None) -> "Mapping[str, JsonValue]":  # noqa: ARG002  # none here
        """Return the least permissions that runs by this profile take, in the service's own form. Pure, as `plan`.

        Args:
            mode: the only mode of the runs; None for both.

        Returns:
            A policy for ``caller``, the account that starts and follows runs, one for ``identity``, as which trials run, and
            one for ``strategy`` where a strategy asks the service, for the account of its driver.

        Raises:
            ConfigError: the provider's runs take no permissions of a service.
        """
        raise ConfigError(f"runs on {self.name} take no permissions of a cloud service")

    def where(self, job: "TuningJob") -> "Where":
        """Return where the job's trials find their files."""
        from cloudtune.bundle.shipment import local_data  # noqa: PLC0415
        from cloudtune.bundle.survey import Where  # noqa: PLC0415  # reading a run looks at no files

        return Where(remote=self.away, inputs=local_data(job, self.name))

    def survey(self, job: "TuningJob", base: "Path", *, pickled: bool = False) -> "Survey":
        """Return the survey of the job's files: code and data. Execute nothing; use no network and no credentials.

        Args:
            job: the spec.
            base: the folder that its paths are relative to.
            pickled: whether the function is pickled, so that its module is not needed.
        """
        from cloudtune.bundle.survey import survey  # noqa: PLC0415

        return survey(job, base, replace(self.where(job), pickled=pickled))

    def verify(self, job: "TuningJob", base: "Path") -> "list[Problem]":  # noqa: ARG002  # most have nothing to verify
        """Return problems other than those of `survey` that keep the job from running; paths in the job are relative to `base`."""
        return []

    def prepare(self, run: "RunStore", job: "TuningJob") -> None:  # noqa: B027  # most have nothing to prepare
        """Save what a later start or resume needs besides the store. No other method gets the job with its secrets."""

    def extends(self, run: "RunStore") -> str:  # noqa: ARG002  # most services' jobs end for good
        """Return why a service's own tuner gives a managed run no more trials after its end; "" where it does.

        Args:
            run: whose plan is managed.
        """
        return f"it is a tuning job of {self.name}'s own tuner, which ends for good"

    def reopen(self, run: "RunStore", job: "TuningJob") -> None:  # noqa: ARG002  # most services' jobs end for good
        """Make again what the end of a run removed, so that it can go on with longer limits or trials run again.

        Args:
            run: has ended; the caller holds its lock.
            job: the spec with its secrets, and the limits that the run had.

        Raises:
            ConfigError: the run cannot go on, since its program has changed, say; says what to do.
        """
        raise ConfigError(f"a run on {self.name} ends for good; a new one learns from it: {learning_from(run.id)}")

    def listening(self, listener: "Listener") -> "AbstractContextManager[None]":  # noqa: ARG002  # none here
        """Return a context within which a listener gets every answer that this process gets from the service.

        Raises:
            ConfigError: the provider asks no service.
        """
        raise ConfigError(f"{self.name} asks no service whose answers could be compared")

    @abstractmethod
    def start(self, run: "RunStore") -> None:
        """Start the run so that it goes on without this process; return at once.

        A second call, also after one whose answer was lost, makes no second job.

        Args:
            run: prepared, or interrupted.

        Raises:
            ProviderError: the provider cannot be reached, or refuses the job.
        """

    @abstractmethod
    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        """Start the run if necessary, and follow it until it ends, writing all news to the store.

        A SIGINT leaves the run resumable. If another process follows the run, watch it through the store.

        Args:
            run: prepared, running or interrupted.
            watcher: called with the progress.

        Returns:
            An ended state, or INTERRUPTED.

        Raises:
            ProviderError: the provider cannot be reached, or refuses.
            DriverError: the driver broke; the run can be resumed.
        """

    @abstractmethod
    def refresh(self, run: "RunStore") -> None:
        """Write the present state of the run and its trials to the store, once; do nothing if another process follows it.

        Raises:
            ProviderError: the provider cannot be reached, or refuses.
        """

    @abstractmethod
    def cancel(self, run: "RunStore") -> None:
        """Cancel the run: return when the request is recorded, before the trials have ended.

        Raises:
            ProviderError: the provider cannot be reached, or refuses.
        """

    @abstractmethod
    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        """Return the lines that a trial printed, without their ends.

        Args:
            run: of the trial.
            number: of the trial.
            follow: whether to wait for further lines until the trial ends.

        Raises:
            TrialError: there is no such trial, or it has no log.
            ProviderError: the provider cannot be reached, or refuses.
        """

    def fetch(self, run: "RunStore", number: int, target: "Path") -> "list[Path]":  # noqa: ARG002  # none here
        """Copy what a trial left (its model, its outputs) into a folder, and return the files.

        Raises:
            TrialError: there is no such trial, or it left nothing.
        """
        raise TrialError(f"{self.name} keeps no files of trials")

    def kept(self, run: "RunStore") -> list[str]:  # noqa: ARG002  # none here
        """Return what is kept at a service for a run's trials, and costs until `release`."""
        return []

    def release(self, run: "RunStore") -> None:  # noqa: B027  # none here
        """Give back what is kept for a run's trials; nothing while trials run that a resume takes over.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """

    def find(self, name: str) -> "tuple[TuningJob, Mapping[str, str]]":
        """Return a job that already runs on the service, by the service's name for it.

        Returns:
            The spec, and the provider's notes for the run's record (`RunRecord.native`).

        Raises:
            RunNotFound: the service has no such job.
        """
        raise RunNotFound(f"{self.name} keeps no runs but those in the store; `cloudtune ls` lists them, not {name!r}")

    def resume(self, run: "RunStore") -> None:
        """Prepare an interrupted run for the call of `start` or `follow` that resumes it."""
        self.refresh(run)


def load_provider(name: str) -> type[Provider]:
    """Return the class of a provider.

    Raises:
        ConfigError: there is no such provider.
        PluginError: it cannot be loaded, or what it needs is not installed.
    """
    # An abstract class is no type[Provider] for mypy, and what is loaded is none that lacks a method.
    return load(PROVIDERS, name, Provider)  # type: ignore[type-abstract]
