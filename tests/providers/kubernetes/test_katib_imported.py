"""Experiments of Katib's users that were imported: what a managed run of them makes is what they wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import Submit, submitting
from katib_experiments import SAMPLES, double, experiment, job_of, numbers, read, template
from kubernetes_runs import cluster_of
from late import LATE

from cloudtune import api
from cloudtune.errors import UnsupportedError
from cloudtune.planning.plan import Plan, Support
from cloudtune.planning.translation import with_environment
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState
from cloudtune_kubernetes.katib.space import codec_of, decoded, write
from cloudtune_kubernetes.settings import KubernetesSettings
from cloudtune_kubernetes.translate import translate

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.emulator import KubernetesEmulator


def plan(job: TuningJob, settings: dict[str, Any] | None = None, **fields: Any) -> Plan:
    data = {**job.to_data(), "mode": "managed", **fields}
    return translate(TuningJob.from_data(data), KubernetesSettings.of(settings or {}, "kubernetes"))


REFUSED = {
    "pbt": ("limits.failed", "30 is above spec.maxTrialCount, 12"),
    "hyperband": ("native.katib.spec.trialTemplate.trialParameters", "no trial can be made: epochs"),
    "distributions": ("native.katib.spec.trialTemplate.trialParameters", "no trial can be made: batch, depth"),
    "lists": ("native.katib.spec.trialTemplate.trialParameters", "no trial can be made: opt, size, odd"),
    "metadata": (
        "native.katib.spec.trialTemplate.trialParameters[3].reference",
        "names what the template has not in metadata.labels: team",
    ),
    "an image's own program": (
        "native.katib.spec.trialTemplate.trialParameters[0].name",
        r"has no place \$\{trialParameters.learningRate\} in the template",
    ),
    "config map": ("native.katib.spec.trialTemplate", "needs successCondition and failureCondition"),
    "workflow": ("native.katib.spec.trialTemplate", "needs successCondition and failureCondition"),
}
"""What Katib's webhook or controller refuses, as kubeflow/katib's own code did that was asked about these; it took all others."""


def managed(name: str) -> dict[str, Any]:
    """What a managed run makes of an imported sample, which has been a file in between."""
    job = TuningJob.from_yaml(read(json.loads(json.dumps(SAMPLES[name]))).job.to_yaml())
    made = plan(job)
    made.refuse()
    filled: dict[str, Any] = with_environment(made.request, job.trial.environment, "env")
    return filled


@pytest.mark.parametrize("name", REFUSED)
def test_what_katib_would_refuse_is_refused_before_it_is_asked(name: str) -> None:
    path, said = REFUSED[name]
    with pytest.raises(UnsupportedError, match=said) as refused:
        managed(name)
    assert refused.value.problems[0].path == path


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in REFUSED])
def test_a_managed_run_of_an_import_is_the_experiment_that_was_imported(name: str) -> None:
    made = managed(name)
    assert numbers(made["spec"]) == numbers(SAMPLES[name]["spec"])
    assert made["metadata"]["name"] == "${run}"
    assert {**SAMPLES[name]["metadata"].get("labels", {}), "cloudtune.dev/run": "${run}"} == made["metadata"]["labels"]


@pytest.mark.parametrize(
    ("name", "told", "values"),
    [
        ("lists", {"lr": "0.3", "momentum": "0.25", "opt": "32", "size": "0.50", "odd": "eight"}, {"lr": 0.3, "momentum": 0.25, "opt": "32", "size": 0.5, "odd": "eight"}),
        ("names that a job cannot have", {"--lr": "0.02", "a b": "0.5"}, {"lr": 0.02, "a_b": 0.5}),
        ("hyperband", {"lr": "0.02", "momentum": "0.6", "epochs": "3"}, {"lr": 0.02, "momentum": 0.6, "epochs": 3}),
        ("bayesian", {"lr": "0.02", "momentum": "0.6"}, {"lr": 0.02, "momentum": 0.6}),
    ],
)  # fmt: skip
def test_values_of_an_imported_experiment_are_what_katib_says(name: str, told: dict[str, str], values: Any) -> None:
    codec = codec_of(job_of(name))
    assert decoded(codec, write(codec).fixed, told) == values


def test_native_settings_that_contradict_the_spec_are_told() -> None:
    job = read(experiment(maxTrialCount=12)).job
    own: Any = json.loads(json.dumps(job.native["katib"]))
    own["spec"]["maxTrialCount"] = 50
    with pytest.raises(UnsupportedError, match=r"native\.katib\.spec\.maxTrialCount says 50") as refused:
        plan(job, native={"katib": own}).refuse()
    assert [problem.path for problem in refused.value.problems] == ["limits.trials"]
    own["spec"].pop("maxTrialCount")
    own["spec"]["objective"] = {"type": "maximize"}
    made = plan(job, native={"katib": own})
    assert made.support("objective[0].goal") is Support.APPROXIMATE
    own["spec"]["nix"] = 1
    with pytest.raises(UnsupportedError, match="Katib refuses it"):
        plan(job, native={"katib": own}).refuse()


def test_what_no_experiment_says_is_refused_or_driven() -> None:
    job, first = job_of("random"), [{"lr": 0.02, "momentum": 0.6}]
    with pytest.raises(UnsupportedError, match="no imported Experiment says it; take mode: managed away"):
        plan(job, first=first).refuse()
    driven = plan(job, {"katib": True}, mode="auto", first=first)
    assert (driven.mode, driven.support("native.katib.spec")) == ("driven", Support.APPROXIMATE)
    assert plan(job, {"katib": True}, mode="auto").mode == "managed"


def test_settings_of_the_cluster_are_merged_into_a_job_and_refused_for_templates_of_other_kinds() -> None:
    own = {"spec": {"nodeSelector": {"pool": "big"}}, "katib": {"spec": {"resumePolicy": "LongRunning"}}}
    spec: Any = dict(plan(job_of("random"), kubernetes=own).request)["spec"]
    assert spec["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "big"}
    assert spec["resumePolicy"] == "LongRunning"
    with pytest.raises(UnsupportedError, match="the imported template is none"):
        plan(job_of("pytorch"), kubernetes=own).refuse()


submit = submitting("k8s")


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesEmulator]:
    with KubernetesEmulator(grace=0.2, backoff=0.02) as running:
        for name, value in {**running.environment, "CLOUDTUNE_KUBERNETES_POLL": "0.1"}.items():
            monkeypatch.setenv(name, value)
        yield running
        assert running.cluster.loop.failures == []


def of_a_user() -> dict[str, Any]:
    """An Experiment whose trials print what they are given, one of whose variables is secret."""
    program = template(
        ["sh", "-c", "echo $TOKEN ${trialParameters.momentum}; echo loss=${trialParameters.learningRate}"]
    )
    container: Any = program["trialSpec"]["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "TOKEN", "value": "token-of-theirs"}]
    algorithm = {"algorithmName": "bayesianoptimization", "algorithmSettings": [{"name": "random_state", "value": "3"}]}
    return experiment(
        algorithm=algorithm, trialTemplate=program, maxTrialCount=4, parallelTrialCount=2,
        objective={"type": "minimize", "objectiveMetricName": "loss"}, parameters=[double("lr", "0.5", "0.9"), double("momentum", "0.5", "0.9")],
    )  # fmt: skip


@pytest.mark.complete
def test_an_imported_experiment_runs_and_is_followed_to_its_end(
    emulator: KubernetesEmulator, submit: Submit, tmp_path: Path
) -> None:
    theirs = of_a_user()
    run = submit(read(json.loads(json.dumps(theirs))).job.model_copy(update={"mode": "managed"}))
    assert run.wait() is RunState.COMPLETED, run.events()
    cluster = cluster_of(emulator)
    made = cluster.call("looking", "GET", cluster.path("experiments", str(run.record.native["job"])))
    spec = made["spec"]
    assert numbers(spec["trialTemplate"]["trialSpec"]) == numbers(theirs["spec"]["trialTemplate"]["trialSpec"])
    assert "token-of-theirs" not in run.record.plan + run.record.job
    trials = run.trials()
    assert len(trials) == 4
    for trial in trials:
        assert trial.metrics["loss"] == trial.parameters["lr"]
        assert 0.5 <= trial.parameters["lr"] <= 0.9
    (tmp_path / "elsewhere").mkdir()
    other = api.attach(str(run.record.native["job"]), "k8s", project=tmp_path / "elsewhere")
    assert other.wait() is RunState.COMPLETED, other.events()
    assert [trial.parameters for trial in other.trials()] == [trial.parameters for trial in trials]
