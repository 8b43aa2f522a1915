"""The controllers of Experiments and Suggestions (pkg/controller.v1beta1/experiment, pkg/controller.v1beta1/suggestion)."""

import secrets
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudtune.store.records import TrialState
from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.katib import checkpoints
from cloudtune_kubernetes.emulator.katib.conditions import OVER_EXPERIMENT, OVER_TRIAL, marked, state_of
from cloudtune_kubernetes.emulator.katib.early_stopping import rules_for
from cloudtune_kubernetes.emulator.katib.metrics import value_of
from cloudtune_kubernetes.emulator.katib.resources import EXPERIMENT, EXPERIMENT_LABEL, SUGGESTION, TRIAL
from cloudtune_kubernetes.emulator.katib.searchers import Rounds
from cloudtune_kubernetes.emulator.katib.space import OBJECTIVE, axes_of, search_of, settings_of
from cloudtune_kubernetes.emulator.katib.template import BadTemplate, filled
from cloudtune_kubernetes.emulator.kinds import CONFIG_MAP
from cloudtune_kubernetes.emulator.registry import Registry
from cloudtune_kubernetes.emulator.store import Object

_PARENT = "pbt.suggestion.katib.kubeflow.org/parent"
_LETTERS = string.ascii_lowercase + string.digits
_LISTS = {
    "Pending": ("trialsPending", "pendingTrialList"),
    "Created": ("trialsPending", "pendingTrialList"),
    "Running": ("trialsRunning", "runningTrialList"),
    "Succeeded": ("trialsSucceeded", "succeededTrialList"),
    "Failed": ("trialsFailed", "failedTrialList"),
    "Killed": ("trialsKilled", "killedTrialList"),
    "EarlyStopped": ("trialsEarlyStopped", "earlyStoppedTrialList"),
    "MetricsUnavailable": ("trialMetricsUnavailable", "metricsUnavailableTrialList"),
}
"""The count and the list of an Experiment's status, by the state of a trial."""


class _Study:
    """The search of one Experiment, and which of its trials the search has heard of."""

    def __init__(self, experiment: Object, seed: int | None) -> None:
        self.axes = axes_of(experiment["spec"])
        self.search = search_of(experiment["spec"], self.axes, seed)
        self.numbers: dict[str, int] = {}
        self.told: set[str] = set()

    def parent(self, number: int) -> str:
        """Return the trial from whose checkpoint a trial begins; "" for none."""
        found = self.search.parent(number) if isinstance(self.search, Rounds) else None
        return next((name for name, own in self.numbers.items() if own == found), "") if found is not None else ""


class Experiments:
    """Reconciles Experiments.

    Args:
        registry: the objects of the cluster.
        seed: returns the seed of a new search; None for any.
        history: returns the objective's values that a trial has reported, in their order.
        claims: returns the folder of a claim's volume, by namespace and name.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        seed: Callable[[], int | None],
        history: Callable[[Object], list[float]],
        claims: Callable[[str, str], Path],
    ) -> None:
        self._registry, self._seed, self._history, self._claims = registry, seed, history, claims
        self._studies: dict[str, _Study] = {}

    def forget(self, uid: str) -> None:
        """Forget an Experiment that is gone."""
        self._studies.pop(uid, None)

    def trials_of(self, experiment: Object) -> list[Object]:
        """Return the trials of an Experiment, the oldest first."""
        meta = experiment["metadata"]
        found = [
            each
            for each in self._registry.store.objects(TRIAL, meta["namespace"])
            if (each["metadata"].get("labels") or {}).get(EXPERIMENT_LABEL) == meta["name"]
        ]
        return sorted(found, key=lambda each: each["metadata"]["creationTimestamp"])

    def reconcile(self, namespace: str, name: str) -> None:
        """Bring an Experiment to where it should be."""
        store = self._registry.store
        with store.lock:
            held = store.get(EXPERIMENT, namespace, name)
            if held is None or "deletionTimestamp" in held["metadata"]:
                return
            status = dict(held.get("status") or {})
            if not status:
                status = {"startTime": times.now()}
                status = marked(status, "Created", "ExperimentCreated", "Experiment is created")
                held = store.put(EXPERIMENT, {**held, "status": status})
            trials = self.trials_of(held)
            over = state_of(held) in OVER_EXPERIMENT
            if over and not self._goes_on(held, trials):
                self._count(held, trials)
                return
            if over:
                status = marked(status, "Restarting", "ExperimentRestarting", "Experiment is restarted")
                status.pop("completionTime", None)
            self._advance({**held, "status": status}, trials)

    @staticmethod
    def _goes_on(held: Object, trials: list[Object]) -> bool:
        """Return whether an Experiment that has reached its number of trials may have more now."""
        reasons = {each["reason"] for each in held["status"]["conditions"] if each["status"] == "True"}
        most = held["spec"].get("maxTrialCount")
        return "ExperimentMaxTrialsReached" in reasons and (most is None or len(trials) < most)

    def _count(self, held: Object, trials: list[Object]) -> None:
        """Count the trials of an Experiment that has ended, as long as some of them run on."""
        status = held["status"]
        counted = {**status, **_counts(trials), **_best(held, trials)}
        if status.get("trialsRunning", 0) + status.get("trialsPending", 0) and counted != status:
            self._registry.store.put(EXPERIMENT, {**held, "status": counted})

    def _advance(self, held: Object, trials: list[Object]) -> None:
        store, uid = self._registry.store, held["metadata"]["uid"]
        study = self._studies.get(uid)
        if study is None:
            study = self._studies[uid] = _Study(held, self._seed())
        for trial in trials:
            self._tell(study, held, trial)
        status = {**held["status"], **_counts(trials), **_best(held, trials)}
        ended = False
        if not _end(held["spec"], status, exhausted=False):
            trials, ended = self._launch(study, held, trials)
            status = {**status, **_counts(trials)}
        end = _end(held["spec"], status, exhausted=ended)
        if end is not None:
            status = {**marked(status, *end), "completionTime": times.now()}
        elif state_of({"status": status}) != "Running":
            status = marked(status, "Running", "ExperimentRunning", "Experiment is running")
        store.put(EXPERIMENT, {**held, "status": status})
        if end is not None:
            self._end_suggestion(held)

    def _tell(self, study: _Study, held: Object, trial: Object) -> None:
        """Tell the search how a trial has ended."""
        name = trial["metadata"]["name"]
        if state_of(trial) not in OVER_TRIAL or name in study.told or name not in study.numbers:
            return
        study.told.add(name)
        value = value_of((trial.get("status") or {}).get("observation"), held["spec"]["objective"])
        if state_of(trial) == "Succeeded" and value is not None:
            study.search.tell(study.numbers[name], {OBJECTIVE: value})
        else:
            state = TrialState.PRUNED if state_of(trial) == "EarlyStopped" and value is not None else TrialState.FAILED
            study.search.tell(study.numbers[name], {OBJECTIVE: value} if value is not None else None, state=state)

    def _launch(self, study: _Study, held: Object, trials: list[Object]) -> tuple[list[Object], bool]:
        """Make new trials until enough are active; return all of them, and whether nothing is left to be suggested."""
        spec, made = held["spec"], list(trials)
        most = spec.get("maxTrialCount")
        while True:
            active = sum(state_of(each) not in OVER_TRIAL for each in made)
            if active >= spec["parallelTrialCount"] or (most is not None and len(made) >= most):
                return made, False
            suggestion = study.search.ask()
            if suggestion is None:
                return made, study.search.exhausted
            name = f"{held['metadata']['name'][:54]}-{''.join(secrets.choice(_LETTERS) for _ in range(8))}"
            study.numbers[name] = suggestion.number
            parent = study.parent(suggestion.number)
            values = {
                axis.name: axis.told(suggestion.parameters[axis.key])
                for axis in study.axes
                if axis.key in suggestion.parameters
            }
            made.append(self._trial(held, name, values, trials, parent))

    def _trial(self, held: Object, name: str, values: Mapping[str, str], earlier: list[Object], parent: str) -> Object:
        spec, meta = held["spec"], held["metadata"]
        assigned = [{"name": each, "value": value} for each, value in values.items()]
        rules = rules_for(spec, [(trial, self._history(trial)) for trial in earlier])
        self._suggest(
            held, {"name": name, "parameterAssignments": assigned, **({"earlyStoppingRules": rules} if rules else {})}
        )
        template = spec["trialTemplate"]
        try:
            run = filled(template, self._text(template, meta["namespace"]), name, meta["namespace"], values)
            why = ""
        except (BadTemplate, Refused) as error:
            run, why = {}, str(error)
        labels = {**(meta.get("labels") or {}), EXPERIMENT_LABEL: meta["name"]}
        place = settings_of(spec).get("suggestion_trial_dir", "")
        if spec["algorithm"]["algorithmName"] == "pbt" and run:
            checkpoints.prepare(self._registry, meta["namespace"], meta["name"], owner_of(held))
            checkpoints.inherit(self._claims(meta["namespace"], checkpoints.claim_of(meta["name"])), name, parent)
            run = checkpoints.mounted(run, meta["name"], name, template["primaryContainerName"], place)
            labels |= {_PARENT: parent} if parent else {}
        owner = owner_of(held)
        made = self._registry.create(TRIAL, meta["namespace"], {
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
            "spec": {
                "objective": spec["objective"], "parameterAssignments": assigned, "runSpec": run,
                "metricsCollector": spec["metricsCollectorSpec"], "primaryContainerName": template["primaryContainerName"],
                "successCondition": template.get("successCondition", ""), "failureCondition": template.get("failureCondition", ""),
                "retainRun": template.get("retain", False), **({"earlyStoppingRules": rules} if rules else {}),
            },
        })  # fmt: skip
        status = marked({"startTime": times.now()}, "Created", "TrialCreated", "Trial is created")
        if why:
            status = {
                **marked(status, "Failed", "TrialFailed", f"Trial has failed: {why}"),
                "completionTime": times.now(),
            }
        return self._registry.store.put(TRIAL, {**made, "status": status})

    def _text(self, template: Mapping[str, Any], namespace: str) -> str | None:
        source = template.get("configMap")
        if source is None:
            return None
        where = source.get("configMapNamespace") or namespace
        found = self._registry.get(CONFIG_MAP, where, source["configMapName"])
        text = (found.get("data") or {}).get(source["templatePath"])
        if text is None:
            raise BadTemplate(
                f"unable to find template path {source['templatePath']} in {where}/{source['configMapName']}"
            )
        return str(text)

    # Suggestions

    def _suggest(self, held: Object, assignment: Mapping[str, Any]) -> None:
        store, spec, meta = self._registry.store, held["spec"], held["metadata"]
        found = store.get(SUGGESTION, meta["namespace"], meta["name"])
        if found is None:
            owner = owner_of(held)
            inherited = {part: meta[part] for part in ("labels", "annotations") if part in meta}
            own = {"algorithm": spec["algorithm"], "resumePolicy": spec["resumePolicy"], "requests": 0,
                   **({"earlyStopping": spec["earlyStopping"]} if spec.get("earlyStopping") else {})}  # fmt: skip
            found = self._registry.create(
                SUGGESTION,
                meta["namespace"],
                {"metadata": {"name": meta["name"], "ownerReferences": [owner], **inherited}, "spec": own},
            )
            status = marked({"startTime": times.now()}, "Created", "SuggestionCreated", "Suggestion is created")
            found = {**found, "status": status}
        status = found["status"]
        if state_of(found) != "Running":
            status = marked(status, "Running", "SuggestionRunning", "Suggestion is running")
        held_assignments = [*(status.get("suggestions") or ()), dict(assignment)]
        status = {**status, "suggestions": held_assignments, "suggestionCount": len(held_assignments)}
        store.put(SUGGESTION, {**found, "spec": {**found["spec"], "requests": len(held_assignments)}, "status": status})

    def _end_suggestion(self, held: Object) -> None:
        meta = held["metadata"]
        found = self._registry.store.get(SUGGESTION, meta["namespace"], meta["name"])
        if found is not None:
            resumes = held["spec"]["resumePolicy"] == "LongRunning"
            reason = (
                "Succeeded",
                "SuggestionSucceeded",
                "Suggestion is succeeded, can be restarted"
                if held["spec"]["resumePolicy"] == "FromVolume"
                else "Suggestion is succeeded, can't be restarted",
            )
            if not resumes:
                self._registry.store.put(
                    SUGGESTION, {**found, "status": {**marked(found["status"], *reason), "completionTime": times.now()}}
                )


def owner_of(held: Object) -> dict[str, Any]:
    """Return the reference by which something belongs to an object."""
    meta = held["metadata"]
    return {"apiVersion": held["apiVersion"], "kind": held["kind"], "name": meta["name"], "uid": meta["uid"],
            "controller": True, "blockOwnerDeletion": True}  # fmt: skip


def _counts(trials: list[Object]) -> dict[str, Any]:
    """Return the counts and lists of an Experiment's status."""
    lists: dict[str, list[str]] = {}
    for trial in trials:
        lists.setdefault(state_of(trial) or "Created", []).append(trial["metadata"]["name"])
    made: dict[str, Any] = {"trials": len(trials)}
    for count, names in _LISTS.values():
        made[count] = sum(len(lists.get(state, ())) for state, (own, _) in _LISTS.items() if own == count)
        made[names] = [each for state, (own, _) in _LISTS.items() if own == count for each in lists.get(state, ())]
    return made


def _best(held: Object, trials: list[Object]) -> dict[str, Any]:
    """Return the best trial so far, of those that succeeded or were stopped early."""
    objective = held["spec"]["objective"]
    sign = 1 if objective["type"] == "minimize" else -1
    found = []
    for trial in trials:
        value = value_of((trial.get("status") or {}).get("observation"), objective)
        if state_of(trial) in ("Succeeded", "EarlyStopped") and value is not None:
            found.append((sign * value, trial))
    if not found:
        return {}
    _, best = min(found, key=lambda pair: pair[0])
    return {
        "currentOptimalTrial": {
            "bestTrialName": best["metadata"]["name"],
            "parameterAssignments": best["spec"]["parameterAssignments"],
            "observation": best["status"]["observation"],
        }
    }


def _end(spec: Mapping[str, Any], status: Mapping[str, Any], *, exhausted: bool) -> tuple[str, str, str] | None:
    """Return the condition, reason and message of an Experiment's end; None where it goes on."""
    best = (status.get("currentOptimalTrial") or {}).get("observation")
    value, goal = value_of(best, spec["objective"]), spec["objective"].get("goal")
    if value is not None and goal is not None:
        reached = value <= goal if spec["objective"]["type"] == "minimize" else value >= goal
        if reached:
            return "Succeeded", "ExperimentGoalReached", "Experiment has succeeded because Objective goal has reached"
    failed = status["trialsFailed"] + status["trialMetricsUnavailable"]
    if spec.get("maxFailedTrialCount") is not None and failed and failed >= spec["maxFailedTrialCount"]:
        return "Failed", "ExperimentFailed", "Experiment has failed because max failed count has reached"
    over = status["trials"] - status["trialsPending"] - status["trialsRunning"]
    if spec.get("maxTrialCount") is not None and over >= spec["maxTrialCount"]:
        return "Succeeded", "ExperimentMaxTrialsReached", "Experiment has succeeded because max trial count has reached"
    if exhausted and over == status["trials"]:
        return (
            "Succeeded",
            "ExperimentSuggestionEndReached",
            "Experiment has succeeded because suggestion service has reached the end",
        )
    return None
