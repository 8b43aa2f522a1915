"""Trials of an Experiment: how they stand, what their pods print, and why they wait, by the same means as of driven trials."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.errors import ignoring
from cloudtune.planning.plain_data import mapping, mappings
from cloudtune.store.records import Trial, TrialState
from cloudtune_kubernetes.client import EXISTS, GONE, Cluster, moment
from cloudtune_kubernetes.feed import Object
from cloudtune_kubernetes.jobs import KubernetesRunner
from cloudtune_kubernetes.logs import COLLECTOR
from cloudtune_kubernetes.parse import Standing
from cloudtune_kubernetes.pod import CONTAINER

EXPERIMENT, TRIAL = "katib.kubeflow.org/experiment", "katib.kubeflow.org/trial"
"""Labels of Katib's on trials and on their pods (pkg/controller.v1beta1/consts/const.go)."""

_COMPLETE = ("Succeeded", "EarlyStopped", "MetricsUnavailable")
"""Conditions of a trial whose program has ended well, or was ended by Katib's rule."""

OVER = (*_COMPLETE, "Failed", "Killed")
"""Conditions of a trial that has ended (pkg/apis/controller/trials/v1beta1/util.go: IsCompleted)."""


def condition_of(each: Object, *kinds: str) -> Mapping[str, Any]:
    """Return the first condition of these kinds that is true of an Experiment or trial; {} for none."""
    true = {one.get("type"): one for one in mappings(mapping(each.get("status")).get("conditions")) if one.get("status") == "True"}  # fmt: skip
    return next((true[kind] for kind in kinds if kind in true), {})


class KatibTrials(KubernetesRunner):
    """Follows the trials of one Experiment, and their pods.

    Args:
        cluster: where they run.
        brief: what is asked for the run.
        experiment: the name of the Experiment.
    """

    kind = "trials"
    deleted = "its trial was deleted"
    loses_unread = False  # Katib has measured it

    def __init__(self, cluster: Cluster, brief: RunBrief, experiment: str) -> None:
        self._experiment = experiment
        super().__init__(cluster, brief, brief.folder)
        self._name = experiment

    def trials(self) -> Mapping[str, Object]:
        """Return Katib's trials by their names."""
        return self._feeds[self.kind].objects()

    def place(self, trial: Trial) -> str:
        return trial.place

    def stop(self, place: str) -> None:
        """Have the Job of a trial fail, of which Katib makes a trial that has failed: one that is deleted, Katib makes again."""
        with ignoring(GONE):
            now = {"spec": {"activeDeadlineSeconds": 1}}
            self._cluster.call(f"ending {place}", "PATCH", self._cluster.path("jobs", place), body=now)

    def delete(self, trial: Object) -> None:
        """Delete a trial of an Experiment that has ended, with all that runs for it, unless it has changed meanwhile."""
        meta = trial["metadata"]
        with ignoring(GONE | EXISTS):
            unchanged = {"resourceVersion": meta["resourceVersion"]}
            options = {"propagationPolicy": "Foreground", "preconditions": unchanged}
            place = self._cluster.path("trials", meta["name"])
            self._cluster.call(f"ending {meta['name']}", "DELETE", place, body=options)

    def settled(self, trials: Sequence[Trial]) -> list[TrialSnapshot]:
        """Return how trials stand; an end as Katib tells it."""
        found = self.trials()
        return [_as_told(seen, found.get(seen.place, {})) for seen in self.poll(trials)]

    def _selector(self) -> str:
        return f"{EXPERIMENT}={self._experiment}"

    def _jobs(self) -> Mapping[str, Object]:
        return {name: _as_job(trial) for name, trial in self.trials().items()}

    def _place_of(self, pod: Object) -> str:
        return str(mapping(pod["metadata"].get("labels")).get(TRIAL, ""))

    def _container(self, pod: str) -> str:
        found = self._feeds["pods"].objects().get(pod)
        if found is None:
            return CONTAINER
        spec = mapping(self.trials().get(self._place_of(found), {}).get("spec"))
        kind = mapping(mapping(spec.get("metricsCollector")).get("collector")).get("kind")
        has = {each["name"] for each in found["spec"]["containers"]}
        return COLLECTOR if kind == "StdOut" and COLLECTOR in has else str(spec.get("primaryContainerName", CONTAINER))

    def _labels(self, trial: Trial) -> dict[str, str]:
        return {TRIAL: trial.place}

    def _folder_of(self, trial: Trial) -> str:
        return trial.place

    def _lasts_too_long(self, stands: Standing) -> bool:  # noqa: ARG002  # whatever it is
        """Return False: its pod has a deadline of its own."""
        return False

    def _end_late(self, jobs: Mapping[str, Object]) -> None:
        """Do nothing: Katib makes each trial once."""


def _as_job(trial: Object) -> Object:
    """Return a trial as the Job that it runs would look."""
    end = condition_of(trial, *OVER)
    kind = "Complete" if end.get("type") in _COMPLETE else "Failed"
    conditions = [{**end, "type": kind}] if end else []
    return {"metadata": trial["metadata"], "spec": {}, "status": {"conditions": conditions}}


def _as_told(seen: TrialSnapshot, trial: Object) -> TrialSnapshot:
    """Return a snapshot with what Katib alone knows."""
    if not seen.state.ended:
        return seen
    killed = bool(condition_of(trial, "Killed"))
    return replace(
        seen,
        state=TrialState.CANCELLED if killed else seen.state,
        ended=seen.ended or moment(mapping(trial.get("status")).get("completionTime")),
        stopped_early=bool(condition_of(trial, "EarlyStopped")),
    )
