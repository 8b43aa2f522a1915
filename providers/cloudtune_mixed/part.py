"""The part of a run on one profile, which its provider handles as a run of its own."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, Trial, TrialState
from cloudtune.store.secrets import masked
from cloudtune.store.store import RunStore, Store

_SIGN = ":"


def place_in(profile: str, place: str) -> str:
    """Return a trial's place, from its profile and the profile's name for it."""
    return f"{profile}{_SIGN}{place}"


def profile_of(place: str) -> str:
    """Return the profile that a trial was launched on; "" for none."""
    return place.partition(_SIGN)[0]


def within(trial: Trial) -> Trial:
    """Return the trial with its place as the profile names it."""
    return replace(trial, place=trial.place.partition(_SIGN)[2])


class ProfileRun(RunStore):
    """The trials of a run on one profile, with a folder and notes for that profile's provider.

    Args:
        run: the run as a whole.
        profile: the name of the profile.
    """

    def __init__(self, run: RunStore, profile: str) -> None:
        super().__init__(run.store, run.id)
        self._run = run
        self._profile = profile
        self._note = f"part:{profile}"
        self._job = f"job:{profile}"
        self.folder = run.folder / "parts" / profile
        if run.store.writable:
            self.folder.mkdir(parents=True, exist_ok=True)

    def elsewhere(self) -> "ProfileRun":
        """Return the same for another thread, with its own connection to the store."""
        return ProfileRun(RunStore(Store(self.store.project), self.id), self._profile)

    def keep_job(self, job: TuningJob) -> None:
        """Keep the run's job in the words of this profile's service."""
        native = {**super().record().native, self._job: json.dumps(masked(job).to_data(portable=True))}
        super().write(columns={"native": native})

    def record(self) -> RunRecord:
        whole = super().record()
        plan: Mapping[str, Any] = json.loads(whole.plan)["request"][self._profile]
        common = {name: whole.native[name] for name in ("base", "seed")}
        own: dict[str, str] = json.loads(whole.native.get(self._note, "{}"))
        emulator = whole.emulators.get(self._profile)
        return replace(
            whole,
            provider=plan["provider"],
            profile=self._profile,
            job=whole.native.get(self._job, whole.job),
            plan=json.dumps(plan),
            native={**common, **own},
            emulators={} if emulator is None else {plan["provider"]: emulator},
        )

    def trials(self, *states: TrialState) -> list[Trial]:
        return [within(trial) for trial in super().trials(*states) if profile_of(trial.place) == self._profile]

    def trial(self, number: int) -> Trial | None:
        found = super().trial(number)
        return None if found is None else within(found)

    def write(
        self,
        *,
        trials: Iterable[Trial] = (),
        reports: Iterable[Report] = (),
        events: Iterable[tuple[int | None, str]] = (),
        columns: Mapping[str, object] | None = None,
        taken: Iterable[int] = (),
    ) -> None:
        if columns is not None and "native" in columns:
            native = {**super().record().native, self._note: json.dumps(columns["native"])}
            columns = {**columns, "native": native}
        super().write(trials=trials, reports=reports, events=events, columns=columns, taken=taken)

    @property
    def lock(self) -> Path:
        return self._run.lock  # the run's lock covers its parts
