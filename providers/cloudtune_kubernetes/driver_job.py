"""Drivers as Jobs of the cluster, each a tuning job of one trial (see `cloudtune.remote`).

Its entries are kept on a volume, so the pod may be evicted, or its node die: the Job makes another, which goes on.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.driver.interrupt import Condition
from cloudtune.driver.snapshots import JobSnapshot, TrialSnapshot
from cloudtune.errors import ignoring
from cloudtune.provider.cloud import job_of, plan_of
from cloudtune.provider.managed_run import ManagedRun, Tuner
from cloudtune.provider.service import Service
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.store.secrets import forget
from cloudtune_kubernetes.client import GONE, Cluster
from cloudtune_kubernetes.jobs import KubernetesRunner
from cloudtune_kubernetes.logs import WITHOUT_LOG, PodLog
from cloudtune_kubernetes.parse import Standing, standing
from cloudtune_kubernetes.pod import CONTAINER
from cloudtune_kubernetes.waiting import Waiting

if TYPE_CHECKING:
    from cloudtune.driver.outputs import RunBrief
    from cloudtune.store.store import RunStore

NO_VOLUME = 'a driver keeps its journal on a volume, so that another pod goes on with it; say output = "pvc://CLAIM/FOLDER" in its profile'

_RESTARTS = 3
"""How often a driver's pod is made anew that was killed, such as for want of memory; one that was evicted, without end."""

_POLICY = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        # The driver itself says what is wrong: another pod would say the same.
        {"action": "FailJob", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [1]}},
    ]
}

_RUNS = {
    TrialState.RUNNING: RunState.RUNNING,
    TrialState.COMPLETED: RunState.COMPLETED,
    TrialState.FAILED: RunState.FAILED,
}


def of_a_driver(request: Any, account: str | None) -> dict[str, Any]:
    """Return the Job of a driver, which outlives its pods, from that of a trial."""
    spec = request["spec"]
    pod = {**spec["template"]["spec"], **({"serviceAccountName": account} if account else {})}
    own = {"backoffLimit": _RESTARTS, "podFailurePolicy": _POLICY, "template": {**spec["template"], "spec": pod}}
    return {**request, "spec": {**spec, **own}}


class DriverRun(ManagedRun):
    """The run of a driver.

    Args:
        service: of the driver.
        run: of the driver.
        job: its Job.
        clear: removes what an ended run has in the cluster.
    """

    def __init__(
        self, service: Service, run: "RunStore", job: "DriverJob", clear: Callable[["RunStore"], None]
    ) -> None:
        super().__init__(service, run, lambda: job, job_of(run), plan_of(run))
        self._clear = clear

    def settle(self) -> None:
        forget(self.run)  # nothing else is kept: who follows the driver takes in what it left
        self._clear(self.run)


class DriverJob(Tuner):
    """The Job of one driver.

    Args:
        cluster: where it runs.
        runner: makes and removes it.
        brief: of the driver's run.
        folder: for all that its last pod printed, which is read before the Job counts as ended.
    """

    def __init__(self, cluster: Cluster, runner: KubernetesRunner, brief: "RunBrief", folder: Path) -> None:
        self._trial = Trial(0, {"start": 0}, attempt=1)
        super().__init__(brief, runner.place(self._trial))
        self._cluster, self._runner, self._folder = cluster, runner, folder
        self._waiting = Waiting()

    def create(self, *, again: bool) -> str:  # noqa: ARG002  # a second call makes nothing
        self._runner.template = self.brief.request()
        self._runner.submit(self._trial)
        return self.name

    def stop(self) -> None:
        self._runner.stop(self.name)

    def poll(self, done: Collection[int]) -> JobSnapshot:
        with ignoring(GONE):
            job = self._cluster.call("looking at the driver", "GET", self._cluster.path("jobs", self.name))
            return self._seen(standing(job, self._runner.pods(self._trial)), done)
        return JobSnapshot(RunState.CANCELLED, None, 0.0, "its Job was deleted")

    def _seen(self, stands: Standing, done: Collection[int]) -> JobSnapshot:
        waiting = self._waiting.see(self._cluster, self.name, stands)
        if said := self._waiting.too_long(self._cluster.settings):
            self.stop()
            stands, waiting = replace(stands, state=TrialState.FAILED, wait="", reason=said), ""
        elif stands.state.ended and self._kept() is None:
            self._keep(stands.pod)
        reason = "" if stands.wait else stands.reason
        metrics = {self.brief.job.objective[0].metric: 1.0} if stands.state is TrialState.COMPLETED else {}
        trial = TrialSnapshot(
            0, self.name, stands.state, {"start": 0}, stands.started, stands.ended, reason=reason, waiting=waiting, metrics=metrics,
        )  # fmt: skip
        elapsed = 0.0 if stands.started is None else (stands.ended or time.time()) - stands.started
        return JobSnapshot(_RUNS[stands.state], stands.started, elapsed, reason, [] if 0 in done else [trial])

    # What it printed

    def _kept(self) -> Path | None:
        return next(self._folder.glob("printed-*.txt"), None)

    def _keep(self, pod: str) -> None:
        lines: list[str] = []
        with ignoring(WITHOUT_LOG):
            lines = PodLog(self._cluster, pod).read() if pod else []
        (self._folder / f"printed-{pod}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        """See `TrialOutputs.lines`; of a pod that another has replaced, the other says again what matters."""
        log, told, last = None, 0, False
        while not last:
            last = over()
            kept = self._kept()
            if kept is not None:
                known = told if log is not None and kept.name == f"printed-{log.pod}.txt" else 0
                yield from kept.read_text("utf-8").splitlines()[known:]
                return
            stands = standing({"metadata": {}}, self._runner.pods(trial))
            if (stands.running or stands.ended is not None) and (log is None or log.pod != stands.pod):
                if log is not None:
                    log.close()
                log, told = PodLog(self._cluster, stands.pod), 0
                if not last:
                    log.follow()
            for line in () if log is None else _new_in(log, whole=last):
                yield line
                told += 1
            if not last:
                time.sleep(self.brief.soon)

    def files(self, trial: Trial, target: Path) -> list[Path]:
        return self._runner.files(trial, target)


def _new_in(log: PodLog, *, whole: bool) -> list[str]:
    """Return the lines of a log that no earlier call returned; the whole log is read for them where no more follows."""
    if whole:
        with ignoring(WITHOUT_LOG):
            log.read()
    return [line.text for line in log.taken()]
