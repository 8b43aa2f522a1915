"""The provider of Kiln, and its tuner: a run is one experiment."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudtune.bundle.shipment import Upload
from cloudtune.driver.interrupt import Condition
from cloudtune.driver.outputs import RunBrief, followed, saved
from cloudtune.driver.snapshots import JobSnapshot, TrialSnapshot
from cloudtune.errors import RunNotFound
from cloudtune.planning.plan import Plan
from cloudtune.planning.translation import with_environment
from cloudtune.provider.cloud import CloudProvider
from cloudtune.provider.http_api import HttpApi, HttpSettings
from cloudtune.provider.interface import Finding
from cloudtune.provider.managed_plan import final_request
from cloudtune.provider.managed_run import Tuner
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune.store.store import RunStore
from cloudtune_kiln.translate import NAME, SUPPORT, codec_of, parse, translate

_JOBS = {"firing": "running", "stopping": "stopping", "stopped": "cancelled", "done": "completed"}
_TRIALS = {"firing": "running", "done": "completed", "cracked": "failed", "late": "failed", "stopped": "cancelled"}


class KilnProvider(CloudProvider):
    """Runs jobs as experiments of Kiln."""

    name, service, support = NAME, "Kiln", SUPPORT
    summary = "Kiln, which was made up: its own tuner"
    settings_type = HttpSettings
    _settings: HttpSettings

    def plan(self, job: TuningJob) -> Plan:
        return translate(job)

    codec = staticmethod(codec_of)

    def to_native(self, job: TuningJob) -> dict[str, Any]:
        plan = self.plan(job)
        plan.refuse()
        return dict(with_environment(plan.request, job.trial.environment, "env"))

    @classmethod
    def from_native(cls, data: object, folder: Path | None = None) -> TuningJob:
        return parse(data)

    @classmethod
    def recognises(cls, data: Mapping[str, object]) -> bool:
        return {"knobs", "goals"} <= data.keys()

    def findings(self) -> list[Finding]:
        return [Finding.tried("experiments", lambda: f"{len(self.api.ask('GET', 'experiments'))} are there")]

    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        said = self.api.find(f"experiments/{name}")
        if said is None:
            raise RunNotFound(f"Kiln has no experiment {name!r}")
        return parse(said["request"]), {"job": name}

    def request(self, run: RunStore, job: TuningJob, plan: Plan, folder: Path | None = None) -> dict[str, Any]:
        return final_request(run, job, plan, self._upload, "env")

    def _upload(self, place: str, files: Sequence[Upload]) -> None:
        for file in files:
            self.api.ask("PUT", f"store/{place.removeprefix('kiln://')}/{file.key}", file.source.read_bytes())

    def tuner(self, brief: RunBrief) -> "KilnTuner":
        return KilnTuner(self.api, brief)

    @property
    def api(self) -> HttpApi:
        """Kiln itself."""
        return HttpApi(self.service, self.endpoint, self._settings.token)


class KilnTuner(Tuner):
    """The experiment of one run, which is called like the run."""

    def __init__(self, api: HttpApi, brief: RunBrief) -> None:
        super().__init__(brief, brief.native.get("job", brief.id))
        self._api, self._codec, self._read = api, codec_of(brief.job), dict[int, int]()

    def create(self, *, again: bool) -> str:
        self._api.ask("PUT", f"experiments/{self.name}", self.brief.request())
        return self.name

    def stop(self) -> None:
        self._api.ask("POST", f"experiments/{self.name}/stop")

    def poll(self, done: Collection[int]) -> JobSnapshot:
        said = self._api.ask("GET", f"experiments/{self.name}")
        trials = [self._seen(each) for each in said["trials"] if each["number"] not in done]
        elapsed = (said["ended"] or time.time()) - said["created"]
        return JobSnapshot(RunState(_JOBS[said["state"]]), said["created"], elapsed, trials=trials)

    def _seen(self, said: Mapping[str, Any]) -> TrialSnapshot:
        number, state = said["number"], TrialState(_TRIALS[said["state"]])
        points = [Report(number, 1, each["step"], each["at"], each["values"]) for each in said["points"]]
        new, self._read[number] = points[self._read.get(number, 0) :], len(points)
        return TrialSnapshot(
            number, f"{self.name}/trials/{number}", state, self._codec.decode(said["knobs"]), said["begun"], said["ended"],
            new, reason=said["why"], too_long=said["state"] == "late",
        )  # fmt: skip

    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        place = f"experiments/{trial.place}/log"
        return followed(lambda count: self._api.ask("GET", f"{place}?after={count}"), over, self.brief.soon)

    def files(self, trial: Trial, target: Path) -> list[Path]:
        place = f"experiments/{trial.place}/files"
        return saved(self._api.ask("GET", place), lambda name: self._api.ask("GET", f"{place}/{name}"), target)
