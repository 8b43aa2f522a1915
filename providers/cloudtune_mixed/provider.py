"""The provider of several profiles together: plan for all of them, and launch each trial where there is room."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cloudtune.bundle.survey import Survey
from cloudtune.driver.process import Site
from cloudtune.errors import ConfigError, Problem, TrialError
from cloudtune.planning.plan import Plan, Support
from cloudtune.porting.adapted import Adapted
from cloudtune.provider.driven import DrivenProvider, keep_earlier
from cloudtune.provider.interface import Finding, Provider, load_provider
from cloudtune.provider.preparing import planned
from cloudtune.spec.job import TuningJob
from cloudtune_mixed.part import ProfileRun, profile_of
from cloudtune_mixed.plans import merged
from cloudtune_mixed.prices import by_price, machine_on
from cloudtune_mixed.settings import MixedSettings
from cloudtune_mixed.strays import Strays

if TYPE_CHECKING:
    from cloudtune.driver.launcher import Launcher
    from cloudtune.store.store import RunStore


NAME = "mixed"


class MixedProvider(DrivenProvider):
    """Runs a job on several profiles at once, by cloudtune's driver."""

    name = NAME
    summary = "several profiles together: each trial goes where there is room for it"
    support: ClassVar[Mapping[str, tuple[Support, str]]] = {}

    def __init__(self, settings: Mapping[str, Any], mounts: Mapping[str, Path] | None = None) -> None:
        super().__init__(settings, mounts)
        if "profiles" not in settings:
            raise ConfigError(
                'which profiles? Write --on one,other, or a profile with provider = "mixed" and profiles = ["…"]'
            )
        self._settings = MixedSettings.of(settings, NAME)
        unknown = self._settings.parallel.keys() - self._settings.profiles.keys()
        if unknown:
            raise ConfigError(
                f"parallel names {sorted(unknown)[0]!r}, which is none of: {', '.join(self._settings.profiles)}"
            )

    @cached_property
    def _providers(self) -> dict[str, Provider]:
        """Each profile's provider, by the profile's name."""
        made = {}
        for profile, (provider, settings) in self._settings.profiles.items():
            made[profile] = load_provider(provider)(settings, self.mounts)
            made[profile].tables = None if self.tables is None else self.tables.of_profile(profile, settings)
        return made

    @property
    def away(self) -> bool:
        return all(provider.away for provider in self._providers.values())

    def unreachable_from(self, host: Provider) -> str:
        return next(filter(None, (provider.unreachable_from(host) for provider in self._providers.values())), "")

    @property
    def settings_elsewhere(self) -> Mapping[str, Any]:
        profiles = {
            name: (provider, self._providers[name].settings_elsewhere)
            for name, (provider, _) in self._settings.profiles.items()
        }
        return {**self.settings, "profiles": profiles}

    def emulators(self) -> Mapping[str, str]:
        return {profile: found for profile, each in self._providers.items() for found in each.emulators().values()}

    def _jobs(self, job: TuningJob) -> list[tuple[Provider, TuningJob]]:
        """Return each profile's provider, and the job in the words of its service."""
        return [(provider, provider.adapt(job.driven()).job) for provider in self._providers.values()]

    def _site(self, profile: str) -> Site:
        provider = self._providers[profile]
        if not isinstance(provider, Site):
            raise ConfigError(f"the provider {provider.name} of {profile} cannot run single trials, so not with others")
        return provider

    # Before a run

    def adapt(self, job: TuningJob) -> Adapted:
        return Adapted(job)  # for each profile in its own way: see `plan`

    def plan(self, job: TuningJob) -> Plan:
        plans = {name: planned(each, job.driven())[1] for name, each in self._providers.items()}
        if self._settings.order == "cheapest":
            rented = {name: each.away for name, each in self._providers.items()}
            plans = {name: plans[name] for name in by_price(plans, rented)}
        return merged(job, NAME, plans)

    def rated(self, plan: Plan, job: TuningJob) -> Plan:  # noqa: ARG002  # the plan of each profile is
        return plan

    def check(self) -> list[Finding]:
        return [
            Finding(f"{profile}: {finding.subject}", finding.ok, finding.message)
            for profile, provider in self._providers.items()
            for finding in provider.check()
        ]

    def survey(self, job: TuningJob, base: Path, *, pickled: bool = False) -> Survey:
        found = [each.survey(own, base, pickled=pickled) for each, own in self._jobs(job)]
        problems = dict.fromkeys(problem for each in found for problem in each.problems)
        return Survey(tuple(problems), tuple(dict.fromkeys(note for each in found for note in each.notes)))

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        for profile in self._providers:
            self._site(profile)
        found = [problem for provider, own in self._jobs(job) for problem in provider.verify(own, base)]
        return list(dict.fromkeys(found))

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        keep_earlier(run, job)
        for profile, (provider, own) in zip(self._providers, self._jobs(job), strict=True):
            part = ProfileRun(run, profile)
            part.keep_job(own)
            provider.prepare(part, own)

    def reopen(self, run: "RunStore", job: TuningJob) -> None:
        for profile, (provider, own) in zip(self._providers, self._jobs(job), strict=True):
            provider.reopen(ProfileRun(run, profile), own)

    # A run

    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        profile = self._profile_of(run, number)
        return self._providers[profile].logs(ProfileRun(run, profile), number, follow=follow)

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        profile = self._profile_of(run, number)
        return self._providers[profile].fetch(ProfileRun(run, profile), number, target)

    def _profile_of(self, run: "RunStore", number: int) -> str:
        profile = profile_of(run.existing(number).place)
        if profile not in self._providers:
            raise TrialError(
                f"trial {number} ran on {profile!r}, which is none of: {', '.join(self._providers)}"
                if profile
                else f"trial {number} has not started yet"
            )
        return profile

    # A site of driven runs

    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        from cloudtune_mixed.launcher import MixedLauncher  # noqa: PLC0415  # reading a run needs no launcher

        def maker(profile: str) -> "Callable[[], Launcher]":
            # Called in the profile's own thread, for which its part of the run needs its own connection.
            return lambda: self._launcher(ProfileRun(run, profile).elsewhere(), profile)

        request: Mapping[str, Mapping[str, Any]] = json.loads(run.record().plan)["request"]
        makers = {profile: maker(profile) for profile in request if profile in self._providers}
        machines = {profile: machine_on(profile, Plan.from_data(part)) for profile, part in request.items()}
        return MixedLauncher(run, makers, job.limits.parallel, self._settings, machines)

    def _launcher(self, part: ProfileRun, profile: str) -> "Launcher":
        return self._site(profile).launcher(part, TuningJob.from_data(json.loads(part.record().job)))

    def abandon(self, run: "RunStore") -> None:
        for profile in self._providers:
            self._site(profile).abandon(ProfileRun(run, profile))

    def kept(self, run: "RunStore") -> list[str]:
        return [each for name, provider in self._providers.items() for each in provider.kept(ProfileRun(run, name))]

    def release(self, run: "RunStore") -> None:
        for profile, provider in self._providers.items():
            provider.release(ProfileRun(run, profile))

    def keep(self, run: "RunStore") -> None:
        for profile in self._providers:
            self._site(profile).keep(ProfileRun(run, profile))

    def settle(self, run: "RunStore") -> None:
        """Settle each profile; add an event for each attempt that could not be stopped and may still run."""
        for profile in self._providers:
            self._site(profile).settle(ProfileRun(run, profile))
        run.write(
            events=[
                (None, f"{place} on {profile} could not be told to end; see there whether it still runs")
                for profile, place in Strays(run.folder).all()
            ]
        )
