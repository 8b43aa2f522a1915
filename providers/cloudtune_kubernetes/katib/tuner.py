"""Katib as the tuner of a run: one Experiment.

However many trials there are, a look costs one call; two watches tell how trials and their pods stand, and each trial's log is
followed by a call of its own.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloudtune.driver.interrupt import Condition
from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.snapshots import JobSnapshot, TrialSnapshot
from cloudtune.errors import ProviderError, ignoring
from cloudtune.planning.plain_data import mapping, mappings
from cloudtune.provider.managed_run import Tuner
from cloudtune.store.records import RunState, Trial
from cloudtune_kubernetes.client import EXISTS, GONE, Cluster, moment
from cloudtune_kubernetes.feed import Object
from cloudtune_kubernetes.katib.experiment import experiment_name
from cloudtune_kubernetes.katib.extending import extension
from cloudtune_kubernetes.katib.space import codec_of, decoded, write
from cloudtune_kubernetes.katib.trials import OVER, KatibTrials, condition_of
from cloudtune_kubernetes.storage import remove_all

_API = "/apis/kubeflow.org/v1beta1"
_MEASURED = "katib.kubeflow.org/metrics-collector-injection"
"""The label of namespaces whose pods get Katib's collector (manifests/v1beta1/components/webhook/webhooks.yaml)."""

_FORBIDDEN = frozenset({"403", "404"})
"""Codes of the answer to who may not look at a namespace, or where there is none."""

_UNAVAILABLE = "unavailable"

_LISTS = (
    "succeededTrialList",
    "failedTrialList",
    "earlyStoppedTrialList",
    "metricsUnavailableTrialList",
    "killedTrialList",
)
"""Where the status of an Experiment names the trials that have ended."""


class KatibTuner(Tuner):
    """The Experiment of one run, which has its name before it is made.

    Args:
        cluster: where it is.
        brief: what is asked for the run.
    """

    def __init__(self, cluster: Cluster, brief: RunBrief) -> None:
        self._run = experiment_name(brief.job, brief.id)
        super().__init__(brief, brief.native.get("job") or self._run)
        self._cluster = cluster
        self._numbers: dict[str, int] = {}
        self._codec = codec_of(brief.job)
        self._fixed = write(self._codec).fixed
        self._seen: KatibTrials | None = None
        self._last: dict[int, TrialSnapshot] = {}

    @property
    def _trials(self) -> KatibTrials:
        if self._seen is None:
            self._seen = KatibTrials(self._cluster, self.brief, self.name)
        return self._seen

    def create(self, *, again: bool) -> str:  # noqa: ARG002  # of one name there is one
        need_katib(self._cluster)
        request, query = self.brief.request(), {"fieldValidation": "Strict"}
        with ignoring(EXISTS):
            doing = f"making the Experiment {self.name}"
            self._cluster.call(doing, "POST", self._cluster.path("experiments"), query, request)
        return self.name

    def stop(self) -> None:
        """Delete the Experiment: Katib has no other way to end one, with all that runs for it."""
        with ignoring(GONE):
            options = {"propagationPolicy": "Foreground"}
            place = self._cluster.path("experiments", self.name)
            self._cluster.call(f"ending the Experiment {self.name}", "DELETE", place, body=options)

    def settle(self) -> None:
        """Remove the Jobs of trials, code and variables of the run; the Experiment stays, with its trials."""
        self._trials.close()
        remove_all(self._cluster, self._run, self.brief.job)

    def restore(self, trials: Sequence[Trial]) -> None:
        self._numbers = {trial.place: trial.number for trial in trials}

    # One poll

    def poll(self, done: Collection[int]) -> JobSnapshot:
        experiment = self._get("experiments")
        self._trials.watch()
        own = self._numbered(done)
        seen = self._trials.settled(own)
        known = self._trials.trials()
        trials = [self._completed(each, known.get(each.place)) for each in seen]
        state, reason = self._state(experiment)
        if state is RunState.COMPLETED and self._extended(experiment):
            state = RunState.RUNNING
        if state.ended and not self._all_over(experiment, trials):
            state = RunState.STOPPING
        return JobSnapshot(state, self._created(experiment), self._elapsed(experiment), reason, trials)

    def _get(self, kind: str) -> Object:
        """Return what Katib has of this kind under the Experiment's name: itself, or its suggestions; {} where that is gone."""
        with ignoring(GONE):
            what = f"the Experiment {self.name}" if kind == "experiments" else f"the {kind} of {self.name}"
            found: Object = self._cluster.call(f"looking at {what}", "GET", self._cluster.path(kind, self.name))
            return found
        return {}

    def _numbered(self, done: Collection[int]) -> list[Trial]:
        """Return the trials that have not ended, with those that are new: Katib's suggestions have the order of their numbers."""
        names = self._trials.trials()
        if names.keys() - self._numbers.keys():
            for name in self._order(names):
                self._numbers.setdefault(name, len(self._numbers))
        known = sorted(self._numbers.items(), key=lambda pair: pair[1])
        return [Trial(number, {}, attempt=1, place=name) for name, number in known if number not in done]

    def _order(self, trials: Mapping[str, Object]) -> list[str]:
        """Return the names of trials in the order in which they were suggested."""
        found = mapping(self._get("suggestions").get("status"))
        suggested = [str(each["name"]) for each in mappings(found.get("suggestions"))]
        rest = sorted(
            trials.keys() - set(suggested), key=lambda name: (trials[name]["metadata"]["creationTimestamp"], name)
        )
        return [*(name for name in suggested if name in trials), *rest]

    def _completed(self, seen: TrialSnapshot, trial: Object | None) -> TrialSnapshot:
        """Return a snapshot with the trial's parameters and its final metrics."""
        if trial is None:
            return replace(seen, parameters=self._last[seen.number].parameters) if seen.number in self._last else seen
        spec = mapping(trial.get("spec"))
        told = {str(each["name"]): str(each["value"]) for each in mappings(spec.get("parameterAssignments"))}
        values = self._observed(trial) if seen.state.ended else {}
        self._last[seen.number] = found = replace(
            seen, parameters=decoded(self._codec, self._fixed, told), metrics=values
        )
        return found

    def _observed(self, trial: Object) -> dict[str, float]:
        """Return the final metrics of a trial, as Katib has them."""
        objective, found = self.brief.job.objective[0], {}
        best = {"maximize": "max", "minimize": "min"}[objective.goal]
        for each in mappings(mapping(mapping(trial.get("status")).get("observation")).get("metrics")):
            kind = best if each.get("name") == objective.metric and objective.measurement == "best" else "latest"
            text = str(each.get(kind, _UNAVAILABLE))
            if text != _UNAVAILABLE:
                found[str(each["name"])] = float(text)
        return found

    def _all_over(self, experiment: Object, trials: Collection[TrialSnapshot]) -> bool:
        """Return whether all trials of an Experiment that has ended are over; end those that Katib lets run on."""
        for trial in self._trials.trials().values():
            if not condition_of(trial, *OVER) and "deletionTimestamp" not in trial["metadata"]:
                self._trials.delete(trial)
        status = mapping(experiment.get("status"))
        listed = {name for key in _LISTS for name in status.get(key) or ()}
        return listed <= self._numbers.keys() and all(each.state.ended for each in trials)

    # The Experiment as a whole

    def _extended(self, experiment: Object) -> bool:
        """Give an Experiment that has ended the trials that the job has got since; return whether it goes on."""
        more, has = extension(experiment, self.brief.job), mapping(experiment.get("spec"))
        if any(has.get(name) != count for name, count in more.items()):
            self.brief.request()  # code and variables, which its end has removed
            doing = f"extending the Experiment {self.name}"
            self._cluster.call(doing, "PATCH", self._cluster.path("experiments", self.name), body={"spec": more})
        return bool(more)

    def _state(self, experiment: Object) -> tuple[RunState, str]:
        if not experiment:
            return RunState.CANCELLED, "the Experiment was deleted"
        if "deletionTimestamp" in experiment["metadata"]:
            return RunState.STOPPING, ""
        end = condition_of(experiment, "Succeeded", "Failed")
        if not end:
            return RunState.RUNNING, ""
        if end["type"] == "Succeeded":
            return RunState.COMPLETED, ""
        return RunState.FAILED, self._why_failed(str(end.get("message", "")))

    def _why_failed(self, said: str) -> str:
        """Return why an Experiment failed: where its suggestions did, in their words."""
        if "Suggestion" not in said:
            return said
        return str(condition_of(self._get("suggestions"), "Failed").get("message") or said)

    def _created(self, experiment: Object) -> float:
        return moment(mapping(experiment.get("status")).get("startTime")) or self.brief.created

    def _elapsed(self, experiment: Object) -> float:
        ended = moment(mapping(experiment.get("status")).get("completionTime")) or time.time()
        return max(ended - self._created(experiment), 0.0)

    # What trials leave

    def lines(self, trial: Trial, over: Condition) -> Iterator[str]:
        return self._trials.lines(trial, over)

    def files(self, trial: Trial, target: Path) -> list[Path]:
        return self._trials.files(trial, target)


def need_katib(cluster: Cluster) -> None:
    """Check that a cluster has Katib, and that it measures the trials of the namespace.

    Raises:
        ProviderError: it has not, or does not; or the cluster cannot be reached.
    """
    kinds: list[Any] = []
    with ignoring(GONE):
        kinds = cluster.call("looking for Katib", "GET", _API)["resources"]
    if "experiments" not in {each["name"] for each in kinds}:
        raise ProviderError(
            f"Katib is not installed at {cluster.host}: it has no Experiments ({_API.removeprefix('/apis/')}); install Katib, or "
            "take mode: managed away (katib = true of the profile), so that cloudtune drives the trials",
            code="NoKatib",
        )
    name = cluster.namespace
    with ignoring(_FORBIDDEN):  # who may not look is not told
        labels = mapping(
            cluster.call("looking at the namespace", "GET", f"/api/v1/namespaces/{name}")["metadata"].get("labels")
        )
        if labels.get(_MEASURED) != "enabled":
            raise ProviderError(
                f"Katib measures no trials of the namespace {name}, so that they would never end; whoever rules the cluster "
                f"changes it: kubectl label namespace {name} {_MEASURED}=enabled",
                code="NoCollector",
            )
