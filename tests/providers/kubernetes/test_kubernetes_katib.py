"""Katib in Kubernetes' emulator: Experiments are tuned by its controllers' rules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from late import LATE

if LATE:
    pytest.importorskip("kubernetes")
    from kubernetes import client, watch

GROUP = ("kubeflow.org", "v1beta1", "default")
COMMAND = "echo seen ${trialParameters.kind}; echo loss=${trialParameters.rate}"


def experiment(name: str, command: str = COMMAND, **spec: Any) -> dict[str, Any]:
    parameters = [
        {"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0.01", "max": "0.1"}},
        {"name": "kind", "parameterType": "categorical", "feasibleSpace": {"list": ["a", "b"]}},
    ]
    seen = {"name": "SEEN", "value": "${trialParameters.rate} ${trialParameters.kind}"}  # each must have a place
    container = {"name": "main", "image": "x", "command": ["sh", "-c", command], "env": [seen]}
    template = {
        "primaryContainerName": "main",
        "trialParameters": [{"name": "rate", "reference": "lr"}, {"name": "kind", "reference": "kind"}],
        "trialSpec": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}},
    }  # fmt: skip
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": "loss"}, "algorithm": {"algorithmName": "random"},
            "parallelTrialCount": 2, "maxTrialCount": 3, "maxFailedTrialCount": 2, "parameters": parameters,
            "trialTemplate": template, **spec,
        },
    }  # fmt: skip


class Katib:
    """Katib through the official client."""

    def __init__(self, api: client.ApiClient) -> None:
        self.custom, self.core = client.CustomObjectsApi(api), client.CoreV1Api(api)

    def create(self, body: dict[str, Any]) -> None:
        self.custom.create_namespaced_custom_object(*GROUP, "experiments", body)

    def until(self, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        last: dict[str, Any] = {}
        for event in watch.Watch().stream(
            self.custom.list_namespaced_custom_object, *GROUP, "experiments", field_selector=f"metadata.name={name}", timeout_seconds=40
        ):  # fmt: skip
            last = event["object"]
            if holds(last):
                return last
        raise AssertionError(last)

    def ended(self, name: str) -> dict[str, Any]:
        return self.until(name, lambda each: state(each) in ("Succeeded", "Failed"))

    def trials(self, name: str) -> list[dict[str, Any]]:
        found = self.custom.list_namespaced_custom_object(
            *GROUP, "trials", label_selector=f"katib.kubeflow.org/experiment={name}"
        )
        return list(found["items"])


def state(each: dict[str, Any]) -> str:
    true = [one["type"] for one in each.get("status", {}).get("conditions", []) if one["status"] == "True"]
    return str(true[-1]) if true else ""


def reason(each: dict[str, Any]) -> str:
    return str(each["status"]["conditions"][-1]["reason"])


@pytest.fixture
def katib(cluster: Any) -> Katib:
    return Katib(cluster.client())


def test_an_experiment_runs_its_trials_and_says_which_was_the_best(katib: Katib) -> None:
    katib.create(experiment("plain"))
    done = katib.ended("plain")
    assert (state(done), reason(done)) == ("Succeeded", "ExperimentMaxTrialsReached")
    assert (done["status"]["trials"], done["status"]["trialsSucceeded"]) == (3, 3)
    trials = katib.trials("plain")
    losses = {each["metadata"]["name"]: float(each["status"]["observation"]["metrics"][0]["min"]) for each in trials}
    best = done["status"]["currentOptimalTrial"]
    assert best["bestTrialName"] == min(losses, key=lambda name: losses[name])
    assigned = {each["name"]: each["value"] for each in best["parameterAssignments"]}
    assert float(assigned["lr"]) == losses[best["bestTrialName"]]
    suggestion = katib.custom.get_namespaced_custom_object(*GROUP, "suggestions", "plain")
    assert suggestion["status"]["suggestionCount"] == suggestion["spec"]["requests"] == 3


def test_a_goal_that_is_reached_and_too_many_failures_end_an_experiment(katib: Katib) -> None:
    katib.create(experiment("goal", objective={"type": "minimize", "goal": 0.5, "objectiveMetricName": "loss"}))
    katib.create(experiment("fails", "exit 3"))
    katib.create(experiment("silent", "echo nothing"))
    assert reason(katib.ended("goal")) == "ExperimentGoalReached"
    failed = katib.ended("fails")
    assert (state(failed), reason(failed), failed["status"]["trialsFailed"]) == ("Failed", "ExperimentFailed", 2)
    assert katib.ended("silent")["status"]["trialMetricsUnavailable"] == 2


def test_a_grid_ends_when_every_point_was_suggested(katib: Katib) -> None:
    body = experiment("grid", algorithm={"algorithmName": "grid"}, maxTrialCount=20)
    body["spec"]["parameters"][0] = {
        "name": "lr",
        "parameterType": "discrete",
        "feasibleSpace": {"list": ["1", "0.50"]},
    }
    katib.create(body)
    done = katib.ended("grid")
    assert reason(done) == "ExperimentSuggestionEndReached"
    seen = {tuple(one["value"] for one in each["spec"]["parameterAssignments"]) for each in katib.trials("grid")}
    assert seen == {("1", "a"), ("1", "b"), ("0.50", "a"), ("0.50", "b")}


def test_metrics_of_a_file_are_found_by_a_filter(katib: Katib) -> None:
    collector = {
        "collector": {"kind": "File"},
        "source": {
            "fileSystemPath": {"path": "/katib/out.log", "kind": "File"},
            "filter": {"metricsFormat": [r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}"]},
        },
    }
    command = "for v in 3 1 2; do echo {metricName: loss, metricValue: $v} >> /katib/out.log; done"
    katib.create(
        experiment(
            "file",
            command,
            metricsCollectorSpec=collector,
            maxTrialCount=1,
            parallelTrialCount=1,
            maxFailedTrialCount=1,
        )
    )
    (metric,) = katib.ended("file")["status"]["currentOptimalTrial"]["observation"]["metrics"]
    assert metric == {"name": "loss", "min": "1.0", "max": "3.0", "latest": "2.0"}


def test_a_trial_below_the_median_is_stopped_early(katib: Katib) -> None:
    command = "case $KATIB_TRIAL_NAME in *) ;; esac; if [ -e /data/one ]; then echo loss=9; while :; do sleep 0.05; done; fi; touch /data/one; echo loss=1"
    body = experiment("median", command, parallelTrialCount=1, maxTrialCount=2, earlyStopping={
        "algorithmName": "medianstop",
        "algorithmSettings": [{"name": "min_trials_required", "value": "1"}, {"name": "start_step", "value": "1"}],
    })  # fmt: skip
    claim = {
        "metadata": {"name": "median"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    katib.core.create_namespaced_persistent_volume_claim("default", claim)
    pod = body["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "median"}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "d", "mountPath": "/data"}]
    katib.create(body)
    done = katib.ended("median")
    assert (done["status"]["trialsSucceeded"], done["status"]["trialsEarlyStopped"]) == (1, 1)


def test_a_larger_budget_restarts_an_experiment_whose_policy_lets_it(katib: Katib) -> None:
    for name, policy in (("never", "Never"), ("long", "LongRunning")):
        katib.create(
            experiment(name, maxTrialCount=1, parallelTrialCount=1, maxFailedTrialCount=1, resumePolicy=policy)
        )
        katib.ended(name)
    more = {"spec": {"maxTrialCount": 2}}
    with pytest.raises(client.ApiException, match="resumePolicy"):
        katib.custom.patch_namespaced_custom_object(*GROUP, "experiments", "never", more)
    katib.custom.patch_namespaced_custom_object(*GROUP, "experiments", "long", more)
    done = katib.until("long", lambda each: state(each) == "Succeeded" and each["status"]["trials"] == 2)
    assert "Restarting" in [each["type"] for each in done["status"]["conditions"]]


WRONG: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "no objective": (("objective", "objectiveMetricName"), "", "objectiveMetricName must be specified"),
    "an unknown algorithm": (("algorithm", "algorithmName"), "magic", "unknown algorithm magic"),
    "more at once than at all": (("parallelTrialCount",), 9, "parallelTrialCount should be less"),
    "a kind without a controller": (("trialTemplate", "trialSpec", "kind"), "PyTorchJob", 'no matches for kind "PyTorchJob"'),
    "a reference to nothing": (("trialTemplate", "trialParameters", "0", "reference"), "x", "parameter reference x does not exist"),
    "a parameter without a place": (("trialTemplate", "trialParameters", "0", "name"), "other", "other in spec.trialParameters not found"),
    "a name of trials": (("trialTemplate", "trialSpec", "metadata"), {"name": "one"}, "metadata.name and metadata.namespace"),
    "an empty range": (("parameters", "0", "feasibleSpace", "max"), "0", "max should be greater"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_the_webhook_refuses_what_makes_no_experiment(name: str, katib: Katib) -> None:
    path, value, message = WRONG[name]
    body = copy.deepcopy(experiment("wrong"))
    held: Any = body["spec"]
    for part in path[:-1]:
        held = held[int(part)] if isinstance(held, list) else held[part]
    held[path[-1]] = value
    with pytest.raises(client.ApiException) as raised:
        katib.create(body)
    assert "validator.experiment.katib.kubeflow.org" in raised.value.body
    assert message in raised.value.body.replace('\\"', '"')


def test_hyperband_gives_more_of_the_resource_to_the_best_of_each_rung(katib: Katib) -> None:
    settings = [
        {"name": name, "value": value} for name, value in (("resource_name", "epochs"), ("r_l", "4"), ("eta", "2"))
    ]
    body = experiment(
        "rungs",
        algorithm={"algorithmName": "hyperband", "algorithmSettings": settings},
        parallelTrialCount=4,
        maxTrialCount=7,
    )
    body["spec"]["parameters"].append(
        {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "1"}}
    )
    katib.create(body)
    katib.ended("rungs")
    trials = [
        {one["name"]: one["value"] for one in each["spec"]["parameterAssignments"]} for each in katib.trials("rungs")
    ]
    rungs = {
        epochs: sorted(float(each["lr"]) for each in trials if each["epochs"] == epochs) for epochs in ("1", "2", "4")
    }
    assert [len(rungs[epochs]) for epochs in ("1", "2", "4")] == [4, 2, 1]
    assert rungs["2"] == rungs["1"][:2], "the best go on"
    assert rungs["4"] == rungs["2"][:1]


def test_children_of_a_population_begin_with_what_their_parents_left(katib: Katib) -> None:
    settings = [
        {"name": name, "value": value}
        for name, value in (("suggestion_trial_dir", "/ckpt/"), ("n_population", "5"), ("truncation_threshold", "0.2"))
    ]
    command = "echo $KATIB_TRIAL_NAME >> /ckpt/line; echo loss=${trialParameters.rate}; echo age=$(wc -l < /ckpt/line)"
    body = experiment("people", command, algorithm={"algorithmName": "pbt", "algorithmSettings": settings}, parallelTrialCount=5, maxTrialCount=10,
                      objective={"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": ["age"]})  # fmt: skip
    katib.create(body)
    katib.ended("people")
    ages = sorted(float(each["status"]["observation"]["metrics"][1]["latest"]) for each in katib.trials("people"))
    assert ages == [1.0] * 5 + [2.0] * 5
