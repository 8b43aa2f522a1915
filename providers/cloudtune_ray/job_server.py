"""Drivers as jobs of a Ray cluster, by the REST interface of its dashboard (Ray Jobs REST API), which needs no Ray here.

A cluster that is reached by ``http://HEAD:8265`` alone runs the driver itself: `JobServer` is the provider of that driver
job, a tuning job of one trial.
"""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.bundle.tree import tree_of
from cloudtune.driver.interrupt import Condition
from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.snapshots import JobSnapshot, ServiceStates, TrialSnapshot
from cloudtune.errors import Problem, ProviderError, RunNotFound, TrialError
from cloudtune.planning.plan import Ledger, Machines, Plan, Support
from cloudtune.planning.support import EXACT
from cloudtune.provider.cloud import CloudProvider
from cloudtune.provider.http_api import HttpApi, HttpSettings
from cloudtune.provider.interface import Finding
from cloudtune.provider.managed_plan import MANAGED_SUPPORT, carry_fields
from cloudtune.provider.managed_run import Tuner
from cloudtune.provider.settings import Text
from cloudtune.space.space_codec import SpaceCodec
from cloudtune.spec.job import TuningJob
from cloudtune.spec.units import format_size
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.store.secrets import MASK, keep_environment, kept_environment
from cloudtune.store.store import RunStore
from cloudtune.trial import data_variable
from cloudtune_ray.job_log import JobLog
from cloudtune_ray.settings import KUBERAY

if TYPE_CHECKING:
    from cloudtune_ray.kuberay import KubeRay

MOST = 500 << 20
"""Bytes of a package that a cluster takes (`ray._private.runtime_env.packaging.GCS_STORAGE_MAX_SIZE`)."""

_BUNDLE = "bundle"
"""Folder of the driver's run with what travels."""

_DISMISSED = 120.0
"""Seconds after which a job that ends slots is given up: it takes some 20 at most, and waits for as long as the head has no room."""

_IN_JOB = (Support.ENCODED, "in the package that the job starts in")

SUPPORT = {
    **MANAGED_SUPPORT,
    **dict.fromkeys(("trial.command", "trial.source", "data"), _IN_JOB),
    "trial.environment": (Support.ENCODED, "variables of the job, which the dashboard shows"),
    "trial.image": (Support.APPROXIMATE, "the job runs where the head does"),
    "network.isolated": (Support.APPROXIMATE, "the job runs where the head does"),
    "objective": EXACT,
}

_STATES = ServiceStates(
    {
        "PENDING": RunState.RUNNING,
        "RUNNING": RunState.RUNNING,
        "STOPPED": RunState.CANCELLED,
        "SUCCEEDED": RunState.COMPLETED,
        "FAILED": RunState.FAILED,
    },
    other=RunState.RUNNING,
)
"""The states of `ray.job_submission.JobStatus`."""

_TRIALS = {
    RunState.CANCELLED: TrialState.CANCELLED,
    RunState.COMPLETED: TrialState.COMPLETED,
    RunState.FAILED: TrialState.FAILED,
}

_DISMISS = """\
import sys, ray
ray.init(logging_level="ERROR", namespace=sys.argv[1])
found = [each for each in ray.util.list_named_actors(all_namespaces=True) if each["name"].startswith(sys.argv[2])]
actors = [ray.get_actor(each["name"], namespace=each["namespace"]) for each in found]
ray.wait([each.leave.remote() for each in actors], num_returns=len(actors), timeout=20) if actors else None
for each in actors:
    try:
        ray.kill(each)
    except Exception as error:
        print(error)
"""
"""Ends the actors of a run whose names begin so; they may have ended meanwhile."""


class JobServerSettings(HttpSettings):
    """The settings of a job server; its endpoint may be a RayCluster's name (`KUBERAY`)."""

    context: Text = None
    """The context of the kubeconfig, for a RayCluster; null for its current one."""


class JobServer(CloudProvider):
    """Runs drivers as jobs of a Ray cluster."""

    name, service, support = "ray", "the job server of Ray", SUPPORT
    summary = "a Ray cluster's job server"
    settings_type = JobServerSettings
    _settings: JobServerSettings

    def plan(self, job: TuningJob) -> Plan:
        ledger = Ledger(self.name)
        variables: dict[str, Any] = dict.fromkeys(job.trial.environment, MASK)
        variables |= {f"CLOUDTUNE_{what}_DIR": f"driver-{what.lower()}" for what in ("OUTPUT", "CHECKPOINT")}
        variables |= {data_variable(name): f"inputs/{name}" for name in job.data}
        request: dict[str, Any] = {
            "entrypoint": " ".join(job.trial.command or ()),
            "runtime_env": {"env_vars": variables},
            "metadata": {"name": job.name},
        }
        carry_fields(
            ledger,
            job,
            {"name": "metadata.name", "trial.command": "entrypoint", "trial.environment": "runtime_env.env_vars"},
        )
        for path in ("objective", "space", "strategy", "limits", "data"):
            ledger.note(path, *_IN_JOB)
        ledger.note_rest(job, self.support)
        return ledger.close(job, "managed", request, Machines("head of the cluster"))

    def codec(self, job: TuningJob) -> SpaceCodec:
        raise NotImplementedError("a driver has no parameters")

    def findings(self) -> list[Finding]:
        def look() -> str:
            said = self.api.ask("GET", "api/version")
            return f"Ray {said['ray_version']} at {self._settings.endpoint}; drivers run there as jobs"

        return [Finding.tried("job server", look)]

    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        raise RunNotFound(f"{name} is a driver's job; its run is in the store of who started it")

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        total = sum(tree_of(base / str(place)).size for place in job.data.values() if (base / str(place)).exists())
        if total <= MOST:
            return []
        hint = "put it where all nodes see it, and say ray: {data: shared}"
        return [
            Problem(
                "data", f"is {format_size(total)}, and Ray's job server takes no more than {format_size(MOST)}", hint
            )
        ]

    def prepare(self, run: RunStore, job: TuningJob) -> None:
        keep_environment(run, job.trial.environment)
        base = Path(run.record().native["base"])
        source = base / (job.trial.source or "")
        content = packed({"": source, **{f"inputs/{name}": base / str(place) for name, place in job.data.items()}})
        (run.folder / _BUNDLE).write_bytes(content)

    def request(self, run: RunStore, job: TuningJob, plan: Plan, folder: Path | None = None) -> dict[str, Any]:  # noqa: ARG002  # nothing else launches it
        content = (run.folder / _BUNDLE).read_bytes()
        package = f"_ray_pkg_{hashlib.sha256(content).hexdigest()[:16]}.zip"
        if self.api.find(f"api/packages/gcs/{package}") is None:
            self.api.ask("PUT", f"api/packages/gcs/{package}", content)
        request: dict[str, Any] = json.loads(json.dumps(plan.request))
        request["runtime_env"]["working_dir"] = f"gcs://{package}"
        request["runtime_env"]["env_vars"] |= kept_environment(run) if job.trial.environment else {}
        return {"submission_id": run.id, **request}

    def tuner(self, brief: RunBrief) -> "DriverJob":
        return DriverJob(self.api, brief)

    def dismiss(self, namespace: str, prefix: str) -> None:
        """End the actors whose names begin with a prefix, by a job; return when they have ended.

        Raises:
            ProviderError: the server cannot be reached, the job failed, or it has not ended within `_DISMISSED` seconds.
        """
        script = _DISMISS.replace("\n", "\\n").replace('"', '\\"')
        entrypoint = f"python -c \"exec('{script}')\" {namespace} {prefix}"
        job = self.api.ask("POST", "api/jobs/", {"entrypoint": entrypoint})["submission_id"]
        until = time.monotonic() + _DISMISSED
        while (state := _STATES[self.api.ask("GET", f"api/jobs/{job}")["status"]]) is RunState.RUNNING:
            if time.monotonic() > until:
                self.api.ask("POST", f"api/jobs/{job}/stop", {})
                message = f"the job {job}, which ends the slots of the run, has not ended within {_DISMISSED:g} s: has the head room for it?"
                raise ProviderError(message, retryable=True)
            time.sleep(0.3)
        if state is not RunState.COMPLETED:
            said = self.api.ask("GET", f"api/jobs/{job}/logs")["logs"]
            raise ProviderError(f"the slots of the run could not be ended: {said.strip()[-300:]}")

    @cached_property
    def api(self) -> HttpApi:
        """The server itself.

        Raises:
            ConfigError: there is no cluster of the name.
            ProviderError: its place cannot be asked for.
        """
        named = self._named
        own = self._settings
        return HttpApi(self.service, self.endpoint, own.token, emulated=False) if named is None else named.dashboard()

    @property
    def _named(self) -> "KubeRay | None":
        """The RayCluster that the server is of, where its name is known and not its address."""
        if not (self.endpoint or "").startswith(KUBERAY):
            return None
        from cloudtune_ray.kuberay import KubeRay  # noqa: PLC0415  # few clusters are reached so

        return KubeRay(self.endpoint or "", self._settings.context, self._settings.token)

    def emulators(self) -> Mapping[str, str]:
        """Return none: an address of this machine is that of a head here, or of a tunnel to one, such as by kubectl port-forward."""
        return {}

    def addresses(self) -> Mapping[str, str]:
        named = self._named
        return super().addresses() if named is None else {self.service: named.server}


def packed(places: Mapping[str, Path]) -> bytes:
    """Return a zip archive of files and folders, each below its name; the same for the same content."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, place in sorted(places.items()):
            paths = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
            for path in paths:
                below = path.relative_to(place).as_posix()
                entry = zipfile.ZipInfo("/".join(part for part in (name, below) if part not in ("", ".")))
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return data.getvalue()


class DriverJob(Tuner):
    """The job of one driver, which is called like the driver's run."""

    def __init__(self, api: HttpApi, brief: RunBrief) -> None:
        super().__init__(brief, brief.native.get("job", brief.id))
        self._api = api

    def create(self, *, again: bool) -> str:
        if not again or self._api.find(f"api/jobs/{self.name}") is None:
            self._api.ask("POST", "api/jobs/", self.brief.request())
        return self.name

    def stop(self) -> None:
        self._api.find(f"api/jobs/{self.name}") and self._api.ask("POST", f"api/jobs/{self.name}/stop", {})

    def poll(self, done: Collection[int]) -> JobSnapshot:
        said = self._api.find(f"api/jobs/{self.name}")
        if said is None:  # the head was started anew
            gone = "the cluster has forgotten its job"
            return JobSnapshot(RunState.CANCELLED, None, 0.0, gone)
        state = _STATES[said["status"]]
        began, ended = (None if said.get(name) is None else said[name] / 1000 for name in ("start_time", "end_time"))
        reason = (said.get("message") or "") if state is RunState.FAILED else ""
        trial = TrialSnapshot(
            0, self.name, _TRIALS.get(state, TrialState.RUNNING), {"start": 0}, began, ended, reason=reason,
            metrics={self.brief.job.objective[0].metric: 1.0} if state is RunState.COMPLETED else {},
        )  # fmt: skip
        elapsed = 0.0 if began is None else (ended or time.time()) - began
        return JobSnapshot(state, began, elapsed, reason, [] if 0 in done else [trial])

    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        return JobLog(self._api, trial.place, self.brief.soon).lines(over)

    def files(self, trial: Trial, target: Path) -> list[Path]:  # noqa: ARG002  # a job leaves its log alone
        raise TrialError("a driver on Ray leaves what it printed, which has been read")
